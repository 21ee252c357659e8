/* SPDX-License-Identifier: MIT */
/*
 * What telling the destination of dirty pages costs, in the worst pattern: every other page, over 8 GiB.
 * Time of the sync and of finding the ranges, for the whole of it as at the last call, and for what is left
 * of it if early calls have told of all but every thousandth page; and bytes of the messages. And what the destination
 * pays for obeying, where all of its memory is populated: message by message, as they come.
 */
#include "bench/measure.h"
#include "postcopy/discard.h"
#include "save/postcopy_save.h"
#include "wire/outer.h"

#include <ramsync/ramsync.h>

#define GIB (1ull << 30)
#define PAGE 4096u
#define ROUNDS 5u
#define LATE 1000u

struct told {
	uint64_t ranges;
	uint64_t messages;
	uint64_t bytes;
};

static struct rs_state *state;
static struct rs_region *region;
static struct rs_stream *stream;

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

/* What a driver does: writes the command. */
static void tell(void *opaque, const struct rs_region *of, const struct rs_byte_range *ranges,
		 size_t count)
{
	uint8_t message[RS_DISCARD_MAX_BYTES];
	struct told *told = opaque;
	size_t bytes = rs_discard_write(message, of->name, ranges, count);

	told->ranges += count;
	told->messages++;
	/* Behind type, command and length. */
	told->bytes += 1 + 2 + 2 + bytes;
}

static void begin(unsigned char *host, uint64_t bytes)
{
	const struct rs_state_config config = { sizeof(config), PAGE };
	const struct rs_region_config memory = {
		.size = sizeof(memory),
		.name = "memory",
		.host = host,
		.used_bytes = bytes,
	};

	if (rs_state_create(&config, &state) != 0 || rs_region_add(state, &memory, &region) != 0 ||
	    rs_stream_to_memory(1 << 20, &stream) != 0)
		die("no memory");
	rs_session_open(state);
	if (rs_session_attach(state, stream) != 0 || rs_ram_save_setup(state, stream, true) != 0)
		die("set-up failed");
	/* As if all had been sent. */
	rs_bitmap_clear_range(&region->dirty, 0, bytes / PAGE);
	state->dirty_pages = 0;
}

static void end(void)
{
	rs_session_detach(state);
	rs_ram_save_cleanup(state);
	rs_session_close(state);
	rs_state_destroy(state);
	rs_stream_close(stream, NULL);
}

/* Every other page, or every other of those whose number modulo LATE is or is not 0. */
static void dirty(uint64_t pages, bool early, bool late)
{
	for (uint64_t page = 0; page < pages; page += 2)
		if (page / 2 % LATE == 0 ? late : early)
			rs_dirty_mark(region, page * PAGE, 1);
}

static double timed_discard(bool last, struct told *told)
{
	uint64_t start = rs_clock_ns();

	*told = (struct told){ 0 };
	if (rs_ram_save_discard(state, last, tell, told) != 0)
		die("it failed");
	return seconds_since(start) * 1e3;
}

static void check(const struct told *told, uint64_t ranges)
{
	if (told->ranges != ranges)
		die("there are other ranges than dirty pages");
}

/* ---- the destination ----------------------------------------------------------------------- */

static struct rs_region *begin_destination(unsigned char *host, uint64_t bytes)
{
	const struct rs_state_config config = { sizeof(config), PAGE };
	const struct rs_region_config memory = {
		.size = sizeof(memory),
		.name = "memory",
		.host = host,
		.used_bytes = bytes,
	};

	memset(host, 1, bytes);
	if (rs_state_create(&config, &state) != 0 || rs_region_add(state, &memory, &region) != 0 ||
	    rs_bitmap_init(&region->received, bytes / PAGE) != 0)
		die("no memory");
	rs_bitmap_set_range(&region->received, 0, bytes / PAGE);
	return region;
}

static double timed_obedience(unsigned char *host, uint64_t bytes)
{
	struct rs_byte_range ranges[RS_DISCARD_RANGES];
	struct rs_region *of = begin_destination(host, bytes);
	uint64_t start = rs_clock_ns();

	for (uint64_t at = 0; at < bytes;) {
		size_t count = 0;

		for (; count < RS_DISCARD_RANGES && at < bytes; at += 2 * PAGE)
			ranges[count++] = (struct rs_byte_range){ at, PAGE };
		if (rs_discard_ranges(of, ranges, count, NULL) != 0)
			die("it failed");
	}
	double ms = seconds_since(start) * 1e3;

	if (rs_bitmap_count(&of->received) != bytes / PAGE / 2)
		die("other pages are left than were to be");
	rs_bitmap_fini(&of->received);
	rs_state_destroy(state);
	return ms;
}

int main(int argc, char **argv)
{
	uint64_t bytes = is_smoke_run(argc, argv) ? 16 << 20 : 8 * GIB;
	unsigned rounds = is_smoke_run(argc, argv) ? 1 : ROUNDS;
	uint64_t pages = bytes / PAGE, late = (pages / 2 + LATE - 1) / LATE;
	struct samples obeyed = { .count = 0 };
	struct samples once = { .count = 0 }, early = { .count = 0 }, rest = { .count = 0 };
	unsigned char *host = map_memory(bytes);
	struct told whole, left;

	for (unsigned i = 0; i < rounds; i++) {
		begin(host, bytes);
		dirty(pages, true, true);
		samples_add(&once, timed_discard(true, &whole));
		check(&whole, pages / 2);
		end();
		begin(host, bytes);
		dirty(pages, true, false);
		samples_add(&early, timed_discard(false, &left));
		check(&left, pages / 2 - late);
		dirty(pages, false, true);
		samples_add(&rest, timed_discard(true, &left));
		check(&left, late);
		end();
	}
	for (unsigned i = 0; i < rounds; i++)
		samples_add(&obeyed, timed_obedience(host, bytes));
	printf("{\"bench\":\"discard\",\"ram_bytes\":%llu,\"ranges\":%llu,\"messages\":%llu,"
	       "\"bytes\":%llu,\"ms\":%.3g,\"early_ms\":%.3g,\"late_ranges\":%llu,"
	       "\"late_bytes\":%llu,\"late_ms\":%.3g,\"destination_ms\":%.4g}\n",
	       (unsigned long long)bytes, (unsigned long long)whole.ranges,
	       (unsigned long long)whole.messages, (unsigned long long)whole.bytes,
	       samples_median(&once), samples_median(&early), (unsigned long long)left.ranges,
	       (unsigned long long)left.bytes, samples_median(&rest), samples_median(&obeyed));
	return 0;
}
