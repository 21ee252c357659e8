/* SPDX-License-Identifier: MIT */
#include "bare_postcopy.h"

#include "measure.h"
#include "migration_pair.h"
#include "postcopy_pair.h"
#include "track/userfaultfd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE_BYTES                                                                                \
	((size_t)256 << 10) /* of the background, read at once; or a page, if that is larger */

struct request {
	uint64_t offset;
	uint64_t bytes;
};

struct bare {
	const struct bare_plan *plan;
	int sockets[2];    /* [0] is the server's */
	int background[2]; /* also */
	int userfaultfd;
	int stop_pipe[2];
	unsigned char *memory;
	unsigned char *page;
	uint64_t end_ns; /* of the background */
};

static bool get_all(int fd, void *to, size_t bytes)
{
	return recv(fd, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

/* ---- the source ---------------------------------------------------------------------------- */

static void *send_all(void *opaque)
{
	const struct bare *bare = opaque;

	for (size_t at = 0; at < bare->plan->bytes;) {
		ssize_t sent =
		    send(bare->background[0], bare->memory + at, bare->plan->bytes - at, 0);

		if (sent <= 0)
			measure_die("send");
		at += (size_t)sent;
	}
	return NULL;
}

static void serve(void *opaque)
{
	struct bare *bare = opaque;
	const struct bare_plan *plan = bare->plan;
	struct request request;
	pthread_t thread;

	close(bare->sockets[1]);
	close(bare->background[1]);
	bare->memory = make_guest_memory(plan->bytes, plan->page_bytes);
	for (size_t i = 0; i < plan->bytes / plan->page_bytes; i++)
		fill_page(bare->memory + i * plan->page_bytes, plan->page_bytes, i);
	/* Said when all is ready. */
	if (send(bare->sockets[0], "", 1, 0) != 1)
		measure_die("send");
	if (plan->background)
		pthread_create(&thread, NULL, send_all, bare);
	while (get_all(bare->sockets[0], &request, sizeof(request)))
		if (send(bare->sockets[0], bare->memory + request.offset, request.bytes, 0) < 0)
			measure_die("send");
	if (plan->background)
		pthread_join(thread, NULL);
}

/* ---- the destination ----------------------------------------------------------------------- */

/* What the other connection brought already is left as it is. */
static void place(const struct bare *bare, size_t offset, const unsigned char *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		struct uffdio_copy copy = {
			.dst = (uintptr_t)bare->memory + offset + done,
			.src = (uintptr_t)data + done,
			.len = bytes - done,
		};

		if (ioctl(bare->userfaultfd, UFFDIO_COPY, &copy) == 0)
			return;
		if (copy.copy > 0)
			done += (size_t)copy.copy;
		else if (errno == EEXIST)
			done += bare->plan->page_bytes;
		else if (errno != EAGAIN)
			measure_die("UFFDIO_COPY");
	}
}

static void *take_background(void *opaque)
{
	struct bare *bare = opaque;
	size_t page_bytes = bare->plan->page_bytes, bytes = bare->plan->bytes;
	size_t piece = page_bytes > PIECE_BYTES ? page_bytes : PIECE_BYTES;
	unsigned char *buffer = make_guest_memory(piece, page_bytes);

	for (size_t at = 0; at < bytes; at += piece) {
		size_t now = bytes - at < piece ? bytes - at : piece;

		if (!get_all(bare->background[1], buffer, now))
			measure_die("recv");
		place(bare, at, buffer, now);
	}
	bare->end_ns = rs_clock_ns();
	munmap(buffer, piece);
	return NULL;
}

static void fetch(const struct bare *bare, uint64_t address)
{
	size_t page_bytes = bare->plan->page_bytes;
	uint64_t start = address & ~(page_bytes - 1);
	const struct request request = { start - (uintptr_t)bare->memory, page_bytes };

	if (send(bare->sockets[1], &request, sizeof(request), 0) != sizeof(request) ||
	    !get_all(bare->sockets[1], bare->page, page_bytes))
		measure_die("bare fetch");
	place(bare, request.offset, bare->page, page_bytes);
}

static void *take_faults(void *opaque)
{
	const struct bare *bare = opaque;
	struct pollfd fds[] = { { bare->userfaultfd, POLLIN, 0 },
				{ bare->stop_pipe[0], POLLIN, 0 } };
	struct uffd_msg event;

	while (poll(fds, 2, -1) > 0 && fds[1].revents == 0)
		if (read(bare->userfaultfd, &event, sizeof(event)) == sizeof(event))
			fetch(bare, event.arg.pagefault.address);
	return NULL;
}

static void open_memory(struct bare *bare)
{
	const struct bare_plan *plan = bare->plan;
	struct rs_error error;

	bare->memory = make_guest_memory(plan->bytes, plan->page_bytes);
	bare->page = make_guest_memory(plan->page_bytes, plan->page_bytes);
	bare->userfaultfd = rs_userfaultfd_open_for_missing(UFFD_FEATURE_MISSING_HUGETLBFS, &error);
	if (bare->userfaultfd < 0 || pipe(bare->stop_pipe) != 0 ||
	    rs_userfaultfd_register(bare->userfaultfd, (uintptr_t)bare->memory, plan->bytes,
				    UFFDIO_REGISTER_MODE_MISSING, &error) != 0)
		measure_die("userfaultfd");
}

static void close_all(struct bare *bare)
{
	close(bare->sockets[1]);
	close(bare->background[1]);
	close(bare->stop_pipe[0]);
	close(bare->userfaultfd);
	munmap(bare->memory, bare->plan->bytes);
	munmap(bare->page, bare->plan->page_bytes);
}

static void run_guest(struct bare *bare)
{
	pthread_t faults, background;

	pthread_create(&faults, NULL, take_faults, bare);
	if (bare->plan->background)
		pthread_create(&background, NULL, take_background, bare);
	bare->plan->guest(bare->plan->opaque, bare->memory);
	if (bare->plan->background)
		pthread_join(background, NULL);
	close(bare->stop_pipe[1]);
	pthread_join(faults, NULL);
}

double run_bare_postcopy(const struct bare_plan *plan)
{
	struct bare bare = { .plan = plan };
	char ready;

	make_tcp_pair(bare.sockets);
	make_tcp_pair(bare.background);
	pid_t child = run_in_child(serve, &bare);

	close(bare.sockets[0]);
	close(bare.background[0]);
	open_memory(&bare);
	if (!get_all(bare.sockets[1], &ready, 1))
		measure_die("recv");
	uint64_t start = rs_clock_ns();

	run_guest(&bare);
	close_all(&bare);
	await_child(child);
	return plan->background ? (double)(bare.end_ns - start) / 1e9 : 0;
}
