/* SPDX-License-Identifier: MIT */
#include "support/fake_stream.h"

#include "codec/live_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CAPACITY (256u << 10)

/* One direction: a ring of bytes. Everything is guarded by the connection's lock. */
struct direction {
	struct fake_options options;
	uint8_t *ring;
	size_t capacity;
	uint64_t written;
	uint64_t read;
	bool writer_gone;
	bool reader_gone;
	uint64_t writer_random;
	uint64_t reader_random;
};

struct connection {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct direction directions[2];
	int ends;
};

struct end {
	struct connection *connection;
	struct direction *in;  /* NULL if it only writes */
	struct direction *out; /* NULL if it only reads */
	bool shut;
};

/* ---- behaving badly ------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* 0, -EINTR or -EAGAIN; *limit receives how many bytes this call may move. */
static int misbehave(const struct fake_options *options, uint64_t *random, size_t *limit)
{
	uint64_t dice;

	*limit = options->max_bytes != 0 ? options->max_bytes : SIZE_MAX;
	if (options->seed == 0)
		return 0;
	dice = next_random(random) >> 8;
	if (dice % 16 == 0)
		return -EINTR;
	if (dice % 256 == 1)
		return -EAGAIN;
	/* Every size from single bytes to whole buffers, the exponent evenly. */
	dice = 1 + next_random(random) % (1ull << (1 + (dice >> 8) % 20));
	if (dice < *limit)
		*limit = dice;
	return 0;
}

static size_t smaller(size_t a, uint64_t b)
{
	return b < a ? (size_t)b : a;
}

/* Keep limit within what may pass before the byte at. */
static size_t stop_at(size_t limit, uint64_t at, uint64_t passed)
{
	return smaller(limit, at > passed ? at - passed : 0);
}

void fake_valve_close(struct fake_valve *valve, uint64_t more)
{
	atomic_store(&valve->at, atomic_load(&valve->written) + more);
	atomic_store(&valve->closed, true);
}

void fake_valve_open(struct fake_valve *valve)
{
	atomic_store(&valve->closed, false);
}

/* ---- the ring ------------------------------------------------------------------------------ */

/* The longest piece at a position that does not wrap. */
static uint8_t *piece(struct direction *direction, uint64_t position, size_t *bytes)
{
	size_t offset = (size_t)(position % direction->capacity);

	*bytes = smaller(*bytes, direction->capacity - offset);
	return direction->ring + offset;
}

static void keep(struct fake_record *record, const uint8_t *bytes, size_t count)
{
	if (record == NULL)
		return;
	count = smaller(count, record->room - record->length);
	memcpy(record->bytes + record->length, bytes, count);
	record->length += count;
}

static void watch(struct fake_valve *valve, const uint8_t *bytes, size_t count)
{
	if (valve == NULL)
		return;
	for (size_t i = 0; i < count && valve->awaited != 0; i++) {
		valve->last = valve->last << 8 | bytes[i];
		if (valve->last == valve->awaited)
			atomic_store(&valve->seen, true);
	}
	atomic_fetch_add(&valve->written, count);
}

static size_t ring_write(struct direction *direction, const uint8_t *from, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		size_t here = bytes - done;
		uint8_t *to = piece(direction, direction->written, &here);

		/* The bytes may be guest memory that is being written. */
		rs_live_copy(to, from + done, here);
		keep(direction->options.record, to, here);
		watch(direction->options.valve, to, here);
		direction->written += here;
		done += here;
	}
	return done;
}

static size_t ring_read(struct direction *direction, uint8_t *to, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		size_t here = bytes - done;
		const uint8_t *from = piece(direction, direction->read, &here);

		memcpy(to + done, from, here);
		direction->read += here;
		done += here;
	}
	return done;
}

/* ---- the callbacks ------------------------------------------------------------------------- */

/* Break it, if this direction has come to where it shall break. */
static void cut_if_due(struct connection *connection, const struct direction *direction)
{
	int i;

	if (!direction->options.cut || direction->written < direction->options.cut_at)
		return;
	for (i = 0; i < 2; i++) {
		connection->directions[i].writer_gone = true;
		connection->directions[i].reader_gone = true;
	}
}

/* How many bytes may be written now, at most limit; 0: wait; or a negative errno. */
static ssize_t write_room(struct end *end, size_t limit)
{
	struct direction *out = end->out;
	const struct fake_options *options = &out->options;

	if (end->shut)
		return -ESHUTDOWN;
	if (options->write_fail_code != 0) {
		limit = stop_at(limit, options->write_fail_at, out->written);
		if (limit == 0)
			return options->write_fail_code;
	}
	if (out->reader_gone)
		return -EPIPE;
	if (options->cut)
		limit = stop_at(limit, options->cut_at, out->written);
	return (ssize_t)smaller(limit, out->capacity - (out->written - out->read));
}

/* How many bytes may be read now; 0: wait; or a negative errno, -ENODATA for the end. */
static ssize_t read_room(struct end *end, size_t limit)
{
	struct direction *in = end->in;
	const struct fake_options *options = &in->options;

	if (end->shut)
		return -ESHUTDOWN;
	if (options->read_fail_code != 0) {
		limit = stop_at(limit, options->read_fail_at, in->read);
		if (limit == 0)
			return options->read_fail_code;
	}
	if (options->valve != NULL && atomic_load(&options->valve->closed)) {
		limit = stop_at(limit, atomic_load(&options->valve->at), in->read);
		if (limit == 0)
			return 0;
	}
	if (in->written == in->read)
		return in->writer_gone ? -ENODATA : 0;
	return (ssize_t)smaller(limit, in->written - in->read);
}

/* Wait for room, the connection's lock held. */
static ssize_t wait_room(struct end *end, bool nonblocking, size_t limit,
			 ssize_t (*room)(struct end *end, size_t limit))
{
	ssize_t bytes = room(end, limit);

	while (bytes == 0) {
		if (nonblocking)
			return -EAGAIN;
		pthread_cond_wait(&end->connection->changed, &end->connection->lock);
		bytes = room(end, limit);
	}
	return bytes;
}

static ssize_t fake_writev(void *opaque, const struct iovec *iov, int count)
{
	struct end *end = opaque;
	struct direction *out = end->out;
	ssize_t room, done = 0;
	size_t limit;
	int i;

	if (out->options.write_delay_us != 0)
		usleep(out->options.write_delay_us);
	pthread_mutex_lock(&end->connection->lock);
	room = misbehave(&out->options, &out->writer_random, &limit);
	if (room == 0)
		room = wait_room(end, out->options.nonblocking, limit, write_room);
	for (i = 0; i < count && done < room; i++)
		done += (ssize_t)ring_write(out, iov[i].iov_base,
					    smaller(iov[i].iov_len, (uint64_t)(room - done)));
	cut_if_due(end->connection, out);
	pthread_cond_broadcast(&end->connection->changed);
	pthread_mutex_unlock(&end->connection->lock);
	if (done > 0 && out->options.taken != NULL)
		out->options.taken(out->options.taken_opaque);
	return room < 0 ? room : done;
}

static ssize_t fake_readv(void *opaque, const struct iovec *iov, int count)
{
	struct end *end = opaque;
	struct direction *in = end->in;
	ssize_t room, done = 0;
	size_t limit;
	int i;

	if (in->options.read_delay_us != 0)
		usleep(in->options.read_delay_us);
	pthread_mutex_lock(&end->connection->lock);
	room = misbehave(&in->options, &in->reader_random, &limit);
	if (room == 0)
		room = wait_room(end, in->options.nonblocking, limit, read_room);
	for (i = 0; i < count && done < room; i++)
		done += (ssize_t)ring_read(in, iov[i].iov_base,
					   smaller(iov[i].iov_len, (uint64_t)(room - done)));
	pthread_cond_broadcast(&end->connection->changed);
	pthread_mutex_unlock(&end->connection->lock);
	if (room == -ENODATA)
		return 0;
	return room < 0 ? room : done;
}

/* As of a socket: the other end notices. */
static void leave(struct end *end)
{
	if (end->out != NULL)
		end->out->writer_gone = true;
	if (end->in != NULL)
		end->in->reader_gone = true;
}

static void fake_shutdown(void *opaque)
{
	struct end *end = opaque;

	pthread_mutex_lock(&end->connection->lock);
	end->shut = true;
	leave(end);
	pthread_cond_broadcast(&end->connection->changed);
	pthread_mutex_unlock(&end->connection->lock);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void connection_free(struct connection *connection)
{
	pthread_mutex_destroy(&connection->lock);
	pthread_cond_destroy(&connection->changed);
	free(connection->directions[0].ring);
	free(connection->directions[1].ring);
	free(connection);
}

static void fake_close(void *opaque)
{
	struct end *end = opaque;
	struct connection *connection = end->connection;
	bool last;

	pthread_mutex_lock(&connection->lock);
	leave(end);
	last = --connection->ends == 0;
	pthread_cond_broadcast(&connection->changed);
	pthread_mutex_unlock(&connection->lock);
	if (last)
		connection_free(connection);
	free(end);
}

static const struct rs_stream_ops fake_ops = {
	.size = sizeof(fake_ops),
	.readv = fake_readv,
	.writev = fake_writev,
	.shutdown = fake_shutdown,
	.close = fake_close,
};

static int direction_init(struct direction *direction, const struct fake_options *options)
{
	if (options != NULL)
		direction->options = *options;
	direction->capacity = direction->options.capacity;
	if (direction->capacity == 0)
		direction->capacity = DEFAULT_CAPACITY;
	/* Both sides at once would walk in step with the same numbers. */
	direction->writer_random = direction->options.seed * 0x9e3779b97f4a7c15ull + 1;
	direction->reader_random = direction->options.seed * 0xd1342543de82ef95ull + 3;
	direction->ring = malloc(direction->capacity);
	return direction->ring != NULL ? 0 : -ENOMEM;
}

static struct connection *connection_new(const struct fake_options *first,
					 const struct fake_options *second)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return NULL;
	pthread_mutex_init(&connection->lock, NULL);
	pthread_cond_init(&connection->changed, NULL);
	connection->ends = 2;
	if (direction_init(&connection->directions[0], first) == 0 &&
	    direction_init(&connection->directions[1], second) == 0) {
		cut_if_due(connection, &connection->directions[0]);
		cut_if_due(connection, &connection->directions[1]);
		return connection;
	}
	connection_free(connection);
	return NULL;
}

static int end_open(struct connection *connection, struct direction *in, struct direction *out,
		    struct rs_stream **stream)
{
	struct end *end = calloc(1, sizeof(*end));
	unsigned flags = (in != NULL ? RS_STREAM_READ : 0) | (out != NULL ? RS_STREAM_WRITE : 0);
	int code;

	if (end == NULL)
		return -ENOMEM;
	*end = (struct end){ .connection = connection, .in = in, .out = out };
	code = rs_stream_create(&fake_ops, end, flags, stream);
	if (code != 0)
		free(end);
	return code;
}

static int open_both(struct connection *connection, bool two_way, struct rs_stream **left,
		     struct rs_stream **right)
{
	struct direction *there, *back;
	int code;

	if (connection == NULL)
		return -ENOMEM;
	there = &connection->directions[0];
	back = two_way ? &connection->directions[1] : NULL;
	code = end_open(connection, back, there, left);
	if (code != 0) {
		connection_free(connection);
		return code;
	}
	code = end_open(connection, there, back, right);
	if (code != 0) {
		connection->ends = 1;
		rs_stream_close(*left, NULL);
	}
	return code;
}

int fake_stream_pair(const struct fake_options *left_to_right,
		     const struct fake_options *right_to_left, struct rs_stream **left,
		     struct rs_stream **right)
{
	return open_both(connection_new(left_to_right, right_to_left), true, left, right);
}

int fake_stream_pipe(const struct fake_options *options, struct rs_stream **writer,
		     struct rs_stream **reader)
{
	return open_both(connection_new(options, NULL), false, writer, reader);
}
