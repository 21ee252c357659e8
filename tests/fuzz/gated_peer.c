/* SPDX-License-Identifier: MIT */
#include "fuzz/gated_peer.h"

#include "fuzz/check.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_NS 3000000

static const struct {
	size_t bytes;
	const char *text;
} marks[] = {
	[GATED_CHECK] = { 5, "\x08\x52\x54\0\0" },
	[GATED_PACKAGE] = { 9, "\x08\0\2\0\4\0\0\0\4" },
	[GATED_COMMIT] = { 5, "\x08\x52\x55\0\0" },
	[GATED_END] = { 6, "\x7e\0\0\0\2\0" },
	[GATED_ASK_BITMAP] = { 4, "\x08\0\x0a\0" },
	[GATED_RESUME] = { 5, "\x08\0\x09\0\0" },
	[GATED_READY] = { 4, "\x52\x54\0\0" },
	[GATED_RUNNING] = { 4, "\x52\x55\0\0" },
	[GATED_BITMAP] = { 8, "\x01\x23\x45\x67\x89\xab\xcd\xef" },
	[GATED_ACK] = { 8, "\0\x06\0\4\0\0\0\1" },
	[GATED_REQUEST] = { 3, "\0\3\0" },
	[GATED_NEVER] = { 0, NULL },
};

#define MARKS (sizeof(marks) / sizeof(marks[0]))

/* ---- what it says -------------------------------------------------------------------------- */

static void cut_up(struct gated_peer *peer, uint8_t *at, size_t left)
{
	while (left >= 3 && peer->piece_count < GATED_PIECES) {
		size_t bytes = at[1] * 256u + at[2];
		unsigned head = at[0], mark = head & GATED_MARK;

		if (head & GATED_NEW && peer->piece_count > 0)
			peer->connection_count++;
		if (peer->connection_count > GATED_CONNECTIONS)
			break;
		at += 3, left -= 3;
		bytes = bytes < left ? bytes : left;
		peer->pieces[peer->piece_count++] = (struct gated_piece){
			.data = at,
			.bytes = bytes,
			.connection = peer->connection_count - 1,
			.channel = (head & GATED_CHANNEL) != 0,
			.gate = mark < MARKS ? (enum gated_mark)mark : GATED_NOTHING,
		};
		at += bytes, left -= bytes;
	}
	if (peer->connection_count > GATED_CONNECTIONS)
		peer->connection_count = GATED_CONNECTIONS;
}

void gated_peer_init(struct gated_peer *peer, const uint8_t *input, size_t bytes)
{
	*peer = (struct gated_peer){ .connection = -1,
				     .connection_count = 1,
				     .migrating = pthread_self() };
	pthread_condattr_t attributes;

	CHECK(pthread_mutex_init(&peer->lock, NULL) == 0);
	CHECK(pthread_condattr_init(&attributes) == 0);
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&peer->news, &attributes) == 0);
	pthread_condattr_destroy(&attributes);
	peer->input = malloc(bytes + 1);
	CHECK(peer->input != NULL);
	if (bytes > 0)
		memcpy(peer->input, input, bytes);
	cut_up(peer, peer->input, bytes);
}

void gated_peer_fini(struct gated_peer *peer)
{
	free(peer->input);
	pthread_cond_destroy(&peer->news);
	pthread_mutex_destroy(&peer->lock);
}

bool gated_peer_has(const struct gated_peer *peer, const void *bytes, size_t count)
{
	for (int i = 0; i < peer->piece_count; i++)
		if (memmem(peer->pieces[i].data, peer->pieces[i].bytes, bytes, count) != NULL)
			return true;
	return false;
}

bool gated_peer_was_told(struct gated_peer *peer, enum gated_mark mark)
{
	pthread_mutex_lock(&peer->lock);
	bool told = (peer->ever & 1u << mark) != 0;

	pthread_mutex_unlock(&peer->lock);
	return told;
}

/* In an offer the session id stands behind its name. */
static void fill_session_in_locked(struct gated_peer *peer)
{
	const struct gated_piece *piece = &peer->pieces[0];
	const uint8_t *name = memmem(peer->head, peer->head_bytes, "session", 7);
	uint8_t *at = memmem(piece->data, piece->bytes, GATED_SESSION_MARK, GATED_SESSION_BYTES);

	if (peer->has_session || name == NULL ||
	    name + 7 + GATED_SESSION_BYTES > peer->head + peer->head_bytes)
		return;
	peer->has_session = true;
	if (at != NULL)
		memcpy(at, name + 7, GATED_SESSION_BYTES);
}

static void fill_session_in(struct gated_peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	fill_session_in_locked(peer);
	pthread_mutex_unlock(&peer->lock);
}

/* ---- streams ------------------------------------------------------------------------------- */

/* The piece to read from; NULL at the end. */
static const struct gated_piece *find_piece(struct gated_end *end)
{
	const struct gated_peer *peer = end->peer;

	for (; end->piece < peer->piece_count; end->piece++, end->at = 0) {
		const struct gated_piece *piece = &peer->pieces[end->piece];

		if (piece->connection != end->connection || piece->channel != end->channel)
			continue;
		if (end->at < piece->bytes || (piece->gate == GATED_NEVER && end->at == 0))
			return piece;
	}
	return NULL;
}

/* The migrating thread cannot answer while it reads. */
static void wait_for_gate(struct gated_end *end, const struct gated_piece *piece)
{
	struct gated_peer *peer = end->peer;
	struct timespec until;
	int expired = 0;

	if (piece->gate == GATED_NOTHING || end->at > 0 ||
	    pthread_equal(pthread_self(), peer->migrating))
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PATIENCE_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&peer->lock);
	while (!(peer->said & 1u << piece->gate) && !end->shut && expired == 0)
		expired = pthread_cond_timedwait(&peer->news, &peer->lock, &until);
	pthread_mutex_unlock(&peer->lock);
}

static ssize_t peer_readv(void *opaque, const struct iovec *iov, int count)
{
	struct gated_end *end = opaque;
	const struct gated_piece *piece = find_piece(end);
	size_t done = 0;

	if (piece == NULL)
		return 0;
	if (end->connection == 0 && !end->channel)
		fill_session_in(end->peer);
	wait_for_gate(end, piece);
	for (int i = 0; i < count && end->at < piece->bytes; i++) {
		size_t left = piece->bytes - end->at;
		size_t bytes = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(iov[i].iov_base, piece->data + end->at, bytes);
		end->at += bytes;
		done += bytes;
	}
	return (ssize_t)done;
}

static void look_at(struct gated_peer *peer, const uint8_t *data, size_t bytes)
{
	size_t room = sizeof(peer->head) - peer->head_bytes, taken = bytes < room ? bytes : room;

	memcpy(peer->head + peer->head_bytes, data, taken);
	peer->head_bytes += taken;
	for (size_t i = 1; i < MARKS; i++)
		if (marks[i].bytes > 0 &&
		    memmem(data, bytes, marks[i].text, marks[i].bytes) != NULL)
			peer->said |= 1u << i;
	peer->ever |= peer->said;
}

static ssize_t peer_writev(void *opaque, const struct iovec *iov, int count)
{
	struct gated_end *end = opaque;
	struct gated_peer *peer = end->peer;
	size_t done = 0;

	pthread_mutex_lock(&peer->lock);
	for (int i = 0; i < count; i++) {
		if (!end->channel && end->connection == peer->connection)
			look_at(peer, iov[i].iov_base, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	pthread_cond_broadcast(&peer->news);
	pthread_mutex_unlock(&peer->lock);
	return (ssize_t)done;
}

static void peer_shutdown(void *opaque)
{
	struct gated_end *end = opaque;

	pthread_mutex_lock(&end->peer->lock);
	end->shut = true;
	pthread_cond_broadcast(&end->peer->news);
	pthread_mutex_unlock(&end->peer->lock);
}

static const struct rs_stream_ops peer_ops = {
	.size = sizeof(peer_ops),
	.readv = peer_readv,
	.writev = peer_writev,
	.shutdown = peer_shutdown,
};

static struct rs_stream *open_end(struct gated_peer *peer, bool channel, unsigned flags)
{
	struct gated_end *end = &peer->ends[peer->connection][channel];
	struct rs_stream *stream;

	if (end->opened)
		return NULL;
	*end = (struct gated_end){
		.peer = peer, .connection = peer->connection, .channel = channel, .opened = true
	};
	CHECK(rs_stream_create(&peer_ops, end, flags, &stream) == 0);
	return stream;
}

struct rs_stream *gated_peer_connect(struct gated_peer *peer, unsigned flags)
{
	if (peer->connection + 1 == peer->connection_count)
		return NULL;
	pthread_mutex_lock(&peer->lock);
	peer->connection++;
	peer->said = 0;
	pthread_mutex_unlock(&peer->lock);
	return open_end(peer, false, flags);
}

struct rs_stream *gated_peer_open_channel(struct gated_peer *peer)
{
	return open_end(peer, true, RS_STREAM_TWO_WAY);
}
