/* SPDX-License-Identifier: MIT */
/*
 * Regions that are removed, added or resized while a migration runs: it ends with -ESTALE and names
 * the region, whatever the peer does, and memory that was removed may be unmapped at once.
 */
#include "gate.h"
#include "support/fake_stream.h"
#include "support/test_scale.h"
#include "support/transfer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* A call that waits for a stalled peer ends the program. */
#define WATCHDOG_SECONDS 120

#define REGION_BYTES (300 * 4096ull)

enum change { CHANGE_REMOVE, CHANGE_ADD, CHANGE_GROW, CHANGE_SHRINK, CHANGES };

static const char *const change_names[] = {
	[CHANGE_REMOVE] = "removed",
	[CHANGE_ADD] = "added",
	[CHANGE_GROW] = "resized",
	[CHANGE_SHRINK] = "resized",
};

/* A guest beside which the test has a region of its own, to do with as it likes. */
struct fixture {
	struct guest_world world;
	struct guest *from;
	struct guest *to;
	uint8_t *memory[2];
	struct rs_region *extra[2];
	int codes[2]; /* what a removal from inside returned */
	struct gate gate;
	enum guest_moment moment; /* at which a guest waits at the gate */
	enum rs_status status;
	const struct guest *waits; /* this one; NULL: none */
	bool waited;               /* that guest's thread only */
};

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 1,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 20 * 4096, .filled_percent = 90 } },
	.burst = 5,
	.seed = 3,
};

static struct rs_region *add_extra(struct guest *guest, const char *name, uint8_t *memory,
				   uint64_t used_bytes)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = memory,
		.used_bytes = used_bytes,
		.max_bytes = REGION_BYTES,
	};
	struct rs_region *region = NULL;

	assert_int_equal(rs_region_add(guest->state, &config, &region), 0);
	return region;
}

static uint8_t *map_memory(int value)
{
	uint8_t *memory =
	    mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, value, REGION_BYTES);
	return memory;
}

static int gate_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;

	if (guest == fixture->waits && moment == fixture->moment &&
	    (moment != GUEST_STATUS || guest->status == fixture->status) && !fixture->waited) {
		fixture->waited = true;
		gate_pass(&fixture->gate);
	}
	return 0;
}

static void fixture_open(struct fixture *fixture)
{
	*fixture = (struct fixture){ .gate = GATE_CLOSED };
	fixture->from = guest_create_source(&spec, &fixture->world);
	fixture->to = guest_create_destination(&spec, &fixture->world);
	assert_true(fixture->from != NULL && fixture->to != NULL);
	fixture->from->hook = fixture->to->hook = gate_hook;
	fixture->from->hook_opaque = fixture->to->hook_opaque = fixture;
	for (unsigned i = 0; i < 2; i++) {
		fixture->memory[i] = map_memory(0x40 + (int)i);
		fixture->extra[i] = add_extra(i == 0 ? fixture->from : fixture->to, "extra",
					      fixture->memory[i], REGION_BYTES / 2);
	}
	alarm(WATCHDOG_SECONDS);
}

static void fixture_close(struct fixture *fixture)
{
	alarm(0);
	guest_destroy(fixture->from);
	guest_destroy(fixture->to);
	for (unsigned i = 0; i < 2; i++)
		munmap(fixture->memory[i], REGION_BYTES);
}

/* As good as unmapped, but nobody else can get mapped there: whoever touches it is stopped. */
static void forbid(uint8_t *memory, uint64_t bytes)
{
	assert_int_equal(mprotect(memory, bytes, PROT_NONE), 0);
}

/* The change that is under test, at one end. */
static void change(struct fixture *fixture, unsigned end, enum change change)
{
	struct guest *guest = end == 0 ? fixture->from : fixture->to;

	switch (change) {
	case CHANGE_REMOVE:
		assert_int_equal(rs_region_remove(fixture->extra[end]), 0);
		forbid(fixture->memory[end], REGION_BYTES);
		break;
	case CHANGE_ADD:
		/* Twice the same memory: nobody looks at it any more. */
		add_extra(guest, "extra-added", fixture->memory[end], 4096);
		break;
	case CHANGE_GROW:
		assert_int_equal(rs_region_resize(fixture->extra[end], REGION_BYTES), 0);
		break;
	case CHANGE_SHRINK:
		assert_int_equal(rs_region_resize(fixture->extra[end], 4096), 0);
		forbid(fixture->memory[end] + 4096, REGION_BYTES - 4096);
		break;
	case CHANGES:
		break;
	}
}

static void check_stale(const struct transfer_end *end, enum change change)
{
	assert_int_equal(end->result, -ESTALE);
	assert_non_null(strstr(end->error.text, "extra"));
	assert_non_null(strstr(end->error.text, change_names[change]));
}

/* The state is as good as before, with the regions that it has now. */
static void migrate_on(struct fixture *fixture)
{
	struct guest *to = guest_create_destination(&spec, &fixture->world);
	struct rs_region *extra = rs_region_find(fixture->from->state, "extra");
	struct rs_region *added = rs_region_find(fixture->from->state, "extra-added");
	uint8_t *memory = map_memory(0x11);
	struct transfer transfer;
	struct rs_stream *out, *in;
	char text[256];

	assert_non_null(to);
	if (extra != NULL)
		add_extra(to, "extra", memory, rs_region_used_bytes(extra));
	if (added != NULL)
		add_extra(to, "extra-added", memory, 4096);
	assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
	transfer_run(&transfer, fixture->from, out, to, in);
	assert_int_equal(transfer.out.result, 0);
	assert_int_equal(transfer.in.result, 0);
	guest_compare(fixture->from, to, text, sizeof(text));
	assert_string_equal(text, "");
	if (extra != NULL)
		assert_memory_equal(memory, fixture->memory[0], rs_region_used_bytes(extra));
	guest_destroy(to);
	munmap(memory, REGION_BYTES);
}

/* ---- a peer that never reads ---------------------------------------------------------------- */

/* One-way, so that nothing is asked of the peer: the source blocks inside the extra region. */
static void stalled(enum change what)
{
	const struct fake_options narrow = { .capacity = 200000 };
	struct transfer_end end;
	struct rs_stream *out, *in;
	struct fixture fixture;

	fixture_open(&fixture);
	assert_int_equal(fake_stream_pipe(&narrow, &out, &in), 0);
	transfer_end_start(&end, fixture.from, out, transfer_out);
	usleep(30000);
	change(&fixture, 0, what);
	transfer_end_join(&end);
	rs_stream_close(in, NULL);
	check_stale(&end, what);
	assert_true(fixture.from->running);
	migrate_on(&fixture);
	fixture_close(&fixture);
}

static void with_a_stalled_reader(void **state)
{
	(void)state;
	for (int what = 0; what < CHANGES; what++)
		stalled((enum change)what);
}

/* ---- two ends, one of which is held at some moment ------------------------------------------ */

static void held(unsigned changed, unsigned waiting, enum guest_moment moment,
		 enum rs_status status, enum change what)
{
	const struct fake_options narrow = { .capacity = 65536 };
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct fixture fixture;

	fixture_open(&fixture);
	fixture.moment = moment;
	fixture.status = status;
	fixture.waits = waiting == 0 ? fixture.from : fixture.to;
	assert_int_equal(fake_stream_pair(&narrow, &narrow, &out, &in), 0);
	transfer_end_start(&transfer.in, fixture.to, in, transfer_in);
	transfer_end_start(&transfer.out, fixture.from, out, transfer_out);
	gate_await(&fixture.gate);
	usleep(5000);
	change(&fixture, changed, what);
	gate_open(&fixture.gate);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	check_stale(changed == 0 ? &transfer.out : &transfer.in, what);
	assert_true(transfer.out.result < 0 && transfer.in.result < 0);
	assert_true(fixture.from->running && !fixture.to->running);
	if (changed == 0)
		migrate_on(&fixture);
	fixture_close(&fixture);
}

static void while_an_end_is_held(void **state)
{
	static const struct {
		unsigned changed, waiting;
		enum guest_moment moment;
		enum rs_status status;
	} cases[] = {
		{ 0, 0, GUEST_STATUS, RS_STATUS_SETUP },
		{ 0, 1, GUEST_STATUS, RS_STATUS_SETUP },
		{ 0, 0, GUEST_STATUS, RS_STATUS_ACTIVE },
		{ 0, 1, GUEST_STATUS, RS_STATUS_ACTIVE },
		{ 0, 0, GUEST_PASS, RS_STATUS_NONE },
		{ 0, 0, GUEST_STOPS, RS_STATUS_NONE },
		{ 1, 0, GUEST_STATUS, RS_STATUS_SETUP },
		{ 1, 1, GUEST_STATUS, RS_STATUS_ACTIVE },
		{ 1, 0, GUEST_PASS, RS_STATUS_NONE },
		{ 1, 0, GUEST_STOPS, RS_STATUS_NONE },
		{ 1, 1, GUEST_LOADS_DEVICE, RS_STATUS_NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int what = 0; what < CHANGES; what++)
			held(cases[i].changed, cases[i].waiting, cases[i].moment, cases[i].status,
			     (enum change)what);
}

/* Once all RAM is sent regions are the VMM's own affair. */
static void after_the_last_ram_nothing_is_stale(void **state)
{
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	fixture.moment = GUEST_SAVES_DEVICES;
	fixture.waits = fixture.from;
	assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
	transfer_end_start(&transfer.in, fixture.to, in, transfer_in);
	transfer_end_start(&transfer.out, fixture.from, out, transfer_out);
	gate_await(&fixture.gate);
	change(&fixture, 0, CHANGE_REMOVE);
	gate_open(&fixture.gate);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	assert_int_equal(transfer.out.result, 0);
	assert_int_equal(transfer.in.result, 0);
	fixture_close(&fixture);
}

/* ---- from inside --------------------------------------------------------------------------- */

static int removing_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;

	if (moment == GUEST_STATUS && guest->status == RS_STATUS_ACTIVE)
		fixture->codes[guest == fixture->to] =
		    rs_region_remove(fixture->extra[guest == fixture->to]);
	return 0;
}

static void a_callback_cannot_remove(void **state)
{
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	fixture.from->hook = fixture.to->hook = removing_hook;
	assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
	transfer_run(&transfer, fixture.from, out, fixture.to, in);
	assert_int_equal(transfer.out.result, 0);
	assert_int_equal(transfer.in.result, 0);
	assert_int_equal(fixture.codes[0], -EDEADLK);
	assert_int_equal(fixture.codes[1], -EDEADLK);
	assert_memory_equal(fixture.memory[0], fixture.memory[1], REGION_BYTES / 2);
	fixture_close(&fixture);
}

/* ---- at any time --------------------------------------------------------------------------- */

static void check_race(const struct fixture *fixture, const struct transfer_end *end,
		       enum change what)
{
	if (end->result != 0)
		check_stale(end, what);
	assert_false(atomic_load(&fixture->world.both));
	assert_int_equal(atomic_load(&fixture->world.running), 1);
}

static void race_once(unsigned changed, enum change what, useconds_t delay)
{
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct fixture fixture;

	fixture_open(&fixture);
	assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
	transfer_end_start(&transfer.in, fixture.to, in, transfer_in);
	transfer_end_start(&transfer.out, fixture.from, out, transfer_out);
	usleep(delay);
	change(&fixture, changed, what);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	/* Before the migration's begin it is no change, but then the ends do not match. */
	if (changed == 0 && transfer.in.result == 0)
		assert_int_equal(transfer.out.result, 0);
	if (transfer.out.result == -ESTALE || transfer.in.result == -ESTALE)
		check_race(&fixture, changed == 0 ? &transfer.out : &transfer.in, what);
	if (rs_migrate_status(fixture.to->state) == RS_STATUS_IN_DOUBT)
		assert_int_equal(rs_migrate_resolve(fixture.to->state, RS_RESOLVE_DISCARD), 0);
	fixture_close(&fixture);
}

static void at_any_time(void **state)
{
	unsigned rounds = test_is_long() ? 20000 : 300;
	struct test_random random = { 5 };

	(void)state;
	for (unsigned i = 0; i < rounds; i++)
		race_once((unsigned)test_random_below(&random, 2),
			  (enum change)test_random_below(&random, CHANGES),
			  (useconds_t)test_random_below(&random, 500u << i % 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_a_stalled_reader),
		cmocka_unit_test(while_an_end_is_held),
		cmocka_unit_test(after_the_last_ram_nothing_is_stale),
		cmocka_unit_test(a_callback_cannot_remove),
		cmocka_unit_test(at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
