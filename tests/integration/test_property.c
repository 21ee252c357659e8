/* SPDX-License-Identifier: MIT */
/*
 * Random migrations of random guests over random connections, back and forth, under writers that
 * never rest: at the switchover the destination's memory is the source's, byte for byte.
 *
 * Each case comes from its seed alone, as far as threads allow. RS_TEST_SEED=N runs case N only,
 * RS_TEST_CASES=N that many of them, and RS_TEST_LONG=1 tens of thousands.
 */
#include "by_handlers.h"
#include "link.h"
#include "random_encoders.h"
#include "random_guest.h"
#include "support/fake_stream.h"
#include "support/test_scale.h"
#include "support/transfer.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define CASES 300u
#define CASES_SHORT 100u
#define CASES_LONG 20000u
/* A busy machine runs fewer cases, but not fewer than some. */
#define ENOUGH_SECONDS 40
#define CASES_AT_LEAST 50u

enum form { FORM_NATIVE, FORM_QEMU, FORM_HANDLERS, FORMS };

/* One migration of a case. */
struct hop {
	enum form form;
	enum link_kind link;
	struct guest *from;
	struct guest *to;
	bool xbzrle;
	struct test_random changes; /* of the cache's size, meanwhile */
	unsigned passes;            /* after which the writers make a break; 0: never */
	unsigned seen;              /* passes so far */
	bool unlimited;             /* lift max-bandwidth at the last of these passes */
	char text[256];             /* what differed at the switchover */
	struct transfer transfer;
};

/* ---- random ways --------------------------------------------------------------------------- */

static void set_number(struct guest *guest, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	assert_int_equal(rs_param_set(guest->state, name, text), 0);
}

static uint64_t total_bytes(const struct guest *guest)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < guest->spec.region_count; i++)
		total += guest->regions[i].spec.used_bytes;
	return total;
}

static void random_cache_size(struct guest *guest, struct test_random *random)
{
	set_number(guest, "xbzrle-cache-size", 65536ull << test_random_below(random, 11));
}

/* Deltas are about pages of 16 KiB at most. */
static void random_xbzrle(struct test_random *random, struct hop *hop)
{
	hop->xbzrle = hop->from->spec.page_bytes <= 16384 && test_random_one_in(random, 2);
	hop->changes.state = test_random_next(random);
	assert_int_equal(rs_param_set(hop->from->state, "xbzrle", hop->xbzrle ? "on" : "off"), 0);
	random_cache_size(hop->from, random);
}

static void random_params(struct test_random *random, struct hop *hop)
{
	static const uint64_t downtimes[] = { 0, 1, 300, 2000000 };
	struct guest *from = hop->from;
	uint64_t bandwidth = 0;

	if (test_random_one_in(random, 20))
		bandwidth = total_bytes(from) * 10;
	else if (test_random_one_in(random, 2))
		bandwidth = 128u << 20;
	set_number(from, "max-bandwidth", bandwidth);
	set_number(from, "downtime-limit", downtimes[test_random_below(random, 4)]);
	set_number(from, "x-clear-bitmap-shift", 6 + test_random_below(random, 3));
	set_number(from, "stall-timeout", 60000);
	set_number(hop->to, "stall-timeout", 60000);
	assert_int_equal(rs_param_set(from->state, "machine", hop->form == FORM_QEMU ? "pc" : ""),
			 0);
	random_xbzrle(random, hop);
}

static void random_hop(struct test_random *random, struct hop *hop)
{
	hop->form = (enum form)test_random_below(random, FORMS);
	hop->link = (enum link_kind)test_random_below(random, LINK_KINDS);
	hop->passes = 1 + (unsigned)test_random_below(random, 5);
	hop->unlimited = test_random_one_in(random, 2);
	random_params(random, hop);
	random_compress(random, hop->from, hop->to);
	/* Writers that never rest need some patience of the guest's owner, or none at all to find.
	 */
	if (test_random_one_in(random, 12) && hop->form != FORM_HANDLERS) {
		hop->passes = 0;
		set_number(hop->from, "downtime-limit", 2000000);
	}
}

/* ---- one migration ------------------------------------------------------------------------- */

static void count_pass(struct hop *hop)
{
	if (test_random_one_in(&hop->changes, 4))
		random_cache_size(hop->from, &hop->changes);
	/* The last pass comes after the stop. */
	if (hop->from->spec.writers == 0 && hop->from->running)
		guest_write(hop->from, 20);
	if (++hop->seen != hop->passes)
		return;
	atomic_store(&hop->from->quiet, true);
	hop->from->hook = NULL;
	if (hop->unlimited)
		set_number(hop->from, "max-bandwidth", 0);
}

/* The worst moment: the pages were just read. */
static void write_when_taken(void *opaque)
{
	struct hop *hop = opaque;

	if (hop->from->spec.writers == 0 && hop->from->running &&
	    !atomic_load_explicit(&hop->from->quiet, memory_order_relaxed))
		guest_write(hop->from, 6);
}

static int out_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	(void)guest;
	if (moment == GUEST_PASS)
		count_pass(opaque);
	return 0;
}

/* The switchover: the source is stopped, the destination complete and about to run. */
static int in_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct hop *hop = opaque;

	if (moment != GUEST_RESUMES)
		return 0;
	if (hop->from->running)
		snprintf(hop->text, sizeof(hop->text), "the source still runs");
	else
		guest_compare(hop->from, guest, hop->text, sizeof(hop->text));
	if (hop->form == FORM_HANDLERS)
		guest_copy_numbers(guest, hop->from);
	return 0;
}

static void run_hop(struct hop *hop, struct test_random *random)
{
	bool handlers = hop->form == FORM_HANDLERS;
	struct transfer *transfer = &hop->transfer;
	struct link link;

	assert_int_equal(link_open(&link, hop->link, random, write_when_taken, hop), 0);
	hop->from->hook = out_hook;
	hop->to->hook = in_hook;
	hop->from->hook_opaque = hop->to->hook_opaque = hop;
	atomic_store(&hop->from->quiet, false);
	atomic_store(&hop->to->quiet, false);
	transfer_end_start(&transfer->out, hop->from, link.out,
			   handlers ? by_handlers_out : transfer_out);
	if (hop->link == LINK_FILE) {
		transfer_end_join(&transfer->out);
		assert_int_equal(link_open_reader(&link), 0);
	}
	transfer_end_start(&transfer->in, hop->to, link.in,
			   handlers ? by_handlers_in : transfer_in);
	transfer_end_join(&transfer->in);
	if (hop->link != LINK_FILE)
		transfer_end_join(&transfer->out);
}

/* ---- what must hold ------------------------------------------------------------------------ */

static const char *const form_names[] = {
	[FORM_NATIVE] = "native",
	[FORM_QEMU] = "qemu",
	[FORM_HANDLERS] = "handlers",
};

static void check_end(const struct transfer_end *end, const char *which, char *text, size_t bytes)
{
	if (end->result != 0 && text[0] == '\0')
		snprintf(text, bytes, "the %s returned %d: %s", which, end->result,
			 end->error.text);
}

static void check_hop(struct hop *hop, char *text, size_t bytes)
{
	check_end(&hop->transfer.out, "source", text, bytes);
	check_end(&hop->transfer.in, "destination", text, bytes);
	if (text[0] == '\0')
		snprintf(text, bytes, "%s", hop->text);
	if (text[0] == '\0' && (hop->from->running || !hop->to->running))
		snprintf(text, bytes, "the guest runs at the wrong end");
	if (text[0] == '\0' && atomic_load(&hop->from->world->both))
		snprintf(text, bytes, "both ends ran");
	if (text[0] == '\0' && hop->form != FORM_HANDLERS && hop->to->devices_loaded == 0)
		snprintf(text, bytes, "no device state came");
	if (text[0] == '\0')
		guest_fault(hop->from, text, bytes);
	if (text[0] == '\0')
		guest_fault(hop->to, text, bytes);
}

/* How deltas went, over all cases. */
struct delta_tally {
	uint64_t migrations;
	uint64_t found;
	uint64_t missed;
	uint64_t overflows;
	uint64_t bytes;
};

static void count_deltas(struct delta_tally *tally, const struct hop *hop)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	rs_stats_get(hop->from->state, &stats);
	tally->migrations += hop->xbzrle;
	tally->found += stats.xbzrle_pages;
	tally->missed += stats.xbzrle_cache_miss;
	tally->overflows += stats.xbzrle_overflow;
	/* An overflow counts as a page. */
	tally->bytes += stats.xbzrle_bytes - stats.xbzrle_overflow * stats.page_size;
}

/* What the destination's writers find. */
static void check_afterwards(struct guest *guest, char *text, size_t bytes)
{
	guest_let_write(guest, 50);
	if (text[0] == '\0')
		guest_fault(guest, text, bytes);
}

/* An attempt that breaks, to a destination that is thrown away; the guest goes on at the source. */
static void break_first(struct guest *from, const struct guest_spec *spec,
			struct test_random *random)
{
	struct fake_options there = { .cut = true };
	struct fake_options back = { .seed = test_random_next(random) };
	struct guest *scratch = guest_create_destination(spec, from->world);
	struct transfer transfer;
	struct rs_stream *out, *in;

	assert_non_null(scratch);
	there.cut_at = test_random_below(random, total_bytes(from) * 3 / 2);
	assert_int_equal(rs_param_set(from->state, "machine", ""), 0);
	/* Whether the source compresses is left from the migration before. */
	assert_int_equal(rs_param_set(scratch->state, "compress", "on"), 0);
	assert_int_equal(fake_stream_pair(&there, &back, &out, &in), 0);
	from->hook = NULL;
	atomic_store(&from->quiet, test_random_one_in(random, 2));
	transfer_run(&transfer, from, out, scratch, in);
	if (transfer.out.result == RS_ERROR_IN_DOUBT)
		assert_int_equal(rs_migrate_resolve(from->state, RS_RESOLVE_DISCARD), 0);
	guest_destroy(scratch);
	guest_run_again(from);
}

static unsigned run_case(uint64_t seed, bool userfaultfd, struct delta_tally *tally)
{
	struct test_random random = { test_mix(seed + 1) };
	struct guest_world world = { 0 };
	struct guest_spec specs[2];
	struct guest *guests[2];
	unsigned hops = 1 + (unsigned)test_random_below(&random, 3), done = 0;
	char text[768] = "";

	random_guest_specs(&random, userfaultfd, &specs[0], &specs[1]);
	guests[0] = guest_create_source(&specs[0], &world);
	guests[1] = guest_create_destination(&specs[1], &world);
	assert_true(guests[0] != NULL && guests[1] != NULL);
	while (done < hops && text[0] == '\0') {
		struct hop hop = { .from = guests[done % 2], .to = guests[1 - done % 2] };

		if (test_random_one_in(&random, 4))
			break_first(hop.from, &specs[1], &random);
		random_hop(&random, &hop);
		run_hop(&hop, &random);
		check_hop(&hop, text, sizeof(text));
		count_deltas(tally, &hop);
		if (text[0] != '\0')
			print_error("case %" PRIu64 ", migration %u of %u: %s over %s, pages of "
				    "%u, %u writers%s\n",
				    seed, done + 1, hops, form_names[hop.form],
				    link_kind_name(hop.link), specs[0].page_bytes, specs[0].writers,
				    hop.xbzrle ? ", deltas" : "");
		done++;
		if (text[0] == '\0')
			check_afterwards(hop.to, text, sizeof(text));
	}
	guest_destroy(guests[0]);
	guest_destroy(guests[1]);
	if (text[0] != '\0')
		fail_msg("%s (RS_TEST_SEED=%" PRIu64 " repeats it)", text, seed);
	return done;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void memory_is_the_same_at_the_switchover(void **state)
{
	struct rs_error why = { 0 };
	bool userfaultfd = rs_dirty_log_userfaultfd_probe(&why) == 0;
	uint64_t cases = number_from("RS_TEST_CASES", test_is_long()    ? CASES_LONG
						      : test_is_short() ? CASES_SHORT
									: CASES);
	bool patient = test_is_long() || getenv("RS_TEST_CASES") != NULL;
	uint64_t seed = number_from("RS_TEST_SEED", 0), end = seed + cases;
	time_t start = time(NULL);
	struct delta_tally tally = { 0 };
	unsigned migrations = 0;

	(void)state;
	if (!userfaultfd)
		print_message("without the userfaultfd dirty log: %s\n", why.text);
	if (getenv("RS_TEST_SEED") != NULL && getenv("RS_TEST_CASES") == NULL)
		end = seed + 1;
	for (uint64_t first = seed; seed < end; seed++) {
		migrations += run_case(seed, userfaultfd, &tally);
		if (!patient && seed - first >= CASES_AT_LEAST &&
		    time(NULL) - start > ENOUGH_SECONDS)
			break;
	}
	print_message("%u migrations; with deltas %" PRIu64 ": %" PRIu64 " pages missed, %" PRIu64
		      " found, of which %" PRIu64 " had changed too much, %" PRIu64 " bytes\n",
		      migrations, tally.migrations, tally.missed, tally.found, tally.overflows,
		      tally.bytes);
	if (cases >= CASES_AT_LEAST && getenv("RS_TEST_SEED") == NULL)
		assert_true(tally.missed > 0 && tally.found > tally.overflows &&
			    tally.overflows > 0 && tally.bytes > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_the_same_at_the_switchover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
