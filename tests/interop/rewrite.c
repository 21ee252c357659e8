/* SPDX-License-Identifier: MIT */
#include "interop/rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define ROUNDS 4
#define STEP 61 /* every so many pages one is wrong for a while */

static int copy(struct rs_stream *stream, int fd, uint64_t from, uint64_t to)
{
	char buffer[65536];

	while (from < to) {
		size_t want = to - from < sizeof(buffer) ? (size_t)(to - from) : sizeof(buffer);
		ssize_t got = pread(fd, buffer, want, (off_t)from);

		if (got < 0)
			return -errno;
		if (got == 0)
			return to == UINT64_MAX ? 0 : -ENODATA;
		rs_stream_put_bytes(stream, buffer, (size_t)got);
		from += (uint64_t)got;
	}
	return 0;
}

/* Turn some pages of every region inside out. Twice is as before. A round has its own pages, some
 * of them zero. */
static void invert(const struct writer *writer, unsigned round, int mark)
{
	for (int i = 0; i < writer->regions->count; i++) {
		struct rs_region *region = writer->regions->list[i];
		uint64_t *words = rs_region_host(region);
		uint64_t pages = rs_region_used_bytes(region) / PAGE_BYTES;

		for (uint64_t page = round; page < pages; page += STEP) {
			uint64_t *word = words + page * PAGE_BYTES / sizeof(*words);

			for (unsigned at = 0; at < PAGE_BYTES / sizeof(*words); at++)
				word[at] = ~word[at];
			if (mark)
				rs_dirty_mark(region, page * PAGE_BYTES, PAGE_BYTES);
		}
	}
}

int put_body(struct writer *writer, uint8_t record,
	     int (*handler)(struct rs_state *state, struct rs_stream *stream))
{
	framing_begin(writer->stream, record, writer->framing->ram_id);
	int result = handler(writer->state, writer->stream);

	framing_end(writer->stream, writer->framing->ram_id);
	return result;
}

/* Bodies until a scan finds nothing more. */
static int put_round(struct writer *writer)
{
	int result = rs_save_pending(writer->state, RS_PENDING_EXACT, NULL, NULL);

	while (result == 0) {
		result = put_body(writer, 0x02, rs_save_iterate);
		if (result == 0)
			result = rs_save_throttle(writer->state, writer->stream);
	}
	return result < 0 ? result : 0;
}

/* The guest "writes" between the rounds: each one begins with pages that are wrong, and the next
 * one sends them as they should be. */
int put_ram_in_rounds(struct writer *writer)
{
	for (unsigned round = 0; round < ROUNDS; round++)
		invert(writer, round, 0);
	int result = put_body(writer, 0x01, rs_save_setup);

	for (unsigned round = 0; result == 0 && round < ROUNDS; round++) {
		result = put_round(writer);
		invert(writer, round, 1);
	}
	if (result == 0)
		result = put_body(writer, 0x03, rs_save_complete);
	rs_save_cleanup(writer->state);
	return result;
}

static int put_all(struct writer *writer, put_ram_function *put_ram, int fd)
{
	int result = copy(writer->stream, fd, 0, writer->framing->ram_at);

	if (result == 0)
		result = put_ram(writer);
	if (result == 0)
		result = copy(writer->stream, fd, writer->framing->devices_at, UINT64_MAX);
	return result != 0 ? result : rs_stream_flush(writer->stream);
}

int rewrite_ram(struct writer *writer, put_ram_function *put_ram, const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int result = in < 0 || out < 0 ? -errno : 0;

	if (result == 0)
		result = rs_stream_from_fd(out, RS_STREAM_WRITE, &writer->stream);
	if (result == 0)
		result = put_all(writer, put_ram, in);
	if (result != 0)
		fprintf(stderr, "rewrite: %s to %s: %s\n", from, to, strerror(-result));
	rs_stream_close(writer->stream, NULL);
	close(in);
	return result;
}
