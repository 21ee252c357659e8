/* SPDX-License-Identifier: MIT */
/* Every public call in every phase: what is possible, what is bad timing, what is a mistake. */
#include "support/fake_stream.h"
#include "support/journal_vm.h"
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE 4096u

static struct rs_state *the_state;
static struct rs_stream *out;  /* to memory */
static struct rs_stream *in;   /* a good first body */
static struct rs_stream *bad;  /* no body at all */
static struct rs_stream *left; /* a peer that says nothing */
static struct rs_stream *right;
static uint8_t *memory;
static struct journal_vm vm;
static uint8_t body[64];

static void open_all(void)
{
	size_t bytes = assemble(body, sizeof(body), "64:2004 s:r 64:2000 64:10");

	memset(&vm, 0, sizeof(vm));
	the_state = plain_state(PAGE);
	vm.state = the_state;
	memory = plain_memory_map(2 * PAGE);
	plain_region_add(the_state, "r", memory, 2 * PAGE, 0);
	assert_int_equal(rs_stream_to_memory(1 << 20, &out), 0);
	assert_int_equal(rs_stream_from_memory(body, bytes, &in), 0);
	assert_int_equal(rs_stream_from_memory(body, 0, &bad), 0);
	assert_int_equal(fake_stream_pair(NULL, NULL, &left, &right), 0);
}

static void close_all(void)
{
	rs_state_destroy(the_state);
	rs_stream_close(out, NULL);
	rs_stream_close(in, NULL);
	rs_stream_close(bad, NULL);
	rs_stream_close(left, NULL);
	rs_stream_close(right, NULL);
	plain_memory_unmap(memory, 2 * PAGE);
}

/* ---- the ways into each phase -------------------------------------------------------------- */

static void into_idle(void)
{
}

static void into_saving(void)
{
	assert_int_equal(rs_save_setup(the_state, out), 0);
}

static void into_saved(void)
{
	into_saving();
	assert_int_equal(rs_save_complete(the_state, out), 0);
}

static void into_save_failed(void)
{
	into_saving();
	rs_stream_shutdown(out);
	assert_int_equal(rs_save_iterate(the_state, out), -ECANCELED);
}

static void into_loading(void)
{
	assert_int_equal(rs_load_setup(the_state, NULL, NULL), 0);
}

static void into_load_failed(void)
{
	into_loading();
	assert_int_equal(rs_load(the_state, bad, 4), -ENODATA);
}

static void into_migrating(void)
{
	assert_int_equal(rs_migrate_start_in(the_state, left, &journal_vm_ops, &vm), 0);
}

/* A destination that said READY and heard no more. */
static void into_doubt(void)
{
	static const char text[] = PEER_HEADER PEER_OFFER
	    "16:45 16:1 16:18 s:session z:10 16:2 16:5 s:runs "
	    "16:3 16:f s:device-lengths 16:4 16:9 s:handover " PEER_SETUP PEER_PART PEER_END
		PEER_CHECK;
	uint8_t bytes[8192];

	into_migrating();
	rs_stream_put_bytes(right, bytes, assemble(bytes, sizeof(bytes), text));
	assert_int_equal(rs_stream_flush(right), 0);
	/* What it accepts, and READY. */
	assert_int_equal(rs_stream_skip(right, 4 + 0x45 + 4), 0);
	rs_stream_close(right, NULL);
	right = NULL;
	assert_int_equal(rs_migrate_wait(the_state), RS_ERROR_IN_DOUBT);
}

/* ---- the calls ----------------------------------------------------------------------------- */

static int save_setup(void)
{
	return rs_save_setup(the_state, out);
}

static int save_pending(void)
{
	uint64_t bytes;

	return rs_save_pending(the_state, RS_PENDING_EXACT, &bytes, NULL);
}

static int save_iterate(void)
{
	return rs_save_iterate(the_state, out);
}

static int save_throttle(void)
{
	return rs_save_throttle(the_state, out);
}

static int save_complete(void)
{
	return rs_save_complete(the_state, out);
}

/* It has no result: whether it was refused shows in the text. */
static int save_cleanup(void)
{
	struct rs_error before, after;

	rs_param_set(the_state, "no such parameter", "");
	rs_error_get(the_state, RS_ERROR_OF_CALL, &before);
	rs_save_cleanup(the_state);
	rs_error_get(the_state, RS_ERROR_OF_CALL, &after);
	return strcmp(before.text, after.text) == 0 ? 0 : after.code;
}

static int load_setup(void)
{
	return rs_load_setup(the_state, NULL, NULL);
}

static int load(void)
{
	return rs_load(the_state, in, 4);
}

static int load_cleanup(void)
{
	return rs_load_cleanup(the_state);
}

static int migrate_out(void)
{
	return rs_migrate_out(the_state, out, &journal_vm_ops, &vm);
}

static int resolve(void)
{
	return rs_migrate_resolve(the_state, RS_RESOLVE_DISCARD);
}

static int set_parameter(void)
{
	return rs_param_set(the_state, "machine", "m");
}

static int set_live_parameter(void)
{
	return rs_param_set(the_state, "downtime-limit", "5");
}

static const struct {
	const char *name;
	int (*call)(void);
} calls[] = {
	{ "save_setup", save_setup },
	{ "save_pending", save_pending },
	{ "save_iterate", save_iterate },
	{ "save_throttle", save_throttle },
	{ "save_complete", save_complete },
	{ "save_cleanup", save_cleanup },
	{ "load_setup", load_setup },
	{ "load", load },
	{ "load_cleanup", load_cleanup },
	{ "migrate_out", migrate_out },
	{ "resolve", resolve },
	{ "param", set_parameter },
	{ "live param", set_live_parameter },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static const struct {
	const char *name;
	void (*into)(void);
	/* for each call, in order: + possible, B -EBUSY, I -EINVAL */
	const char *expected;
} phases[] = {
	{ "idle", into_idle, "+IIII+ +I+ +I ++" },
	{ "saving", into_saving, "B+++++ BII BI B+" },
	{ "saved", into_saved, "BIIII+ BII BI B+" },
	{ "save failed", into_save_failed, "BIIII+ BII BI B+" },
	{ "loading", into_loading, "BIIIII B++ BI B+" },
	{ "load failed", into_load_failed, "BIIIII BI+ BI B+" },
	{ "migrating", into_migrating, "BIIIII BII BI B+" },
	{ "in doubt", into_doubt, "BIIIII BII B+ B+" },
};

static void every_call_in_every_phase(void **unused)
{
	(void)unused;
	for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
		const char *expected = phases[p].expected;

		for (size_t c = 0; c < CALLS; c++, expected++) {
			int result;

			expected += *expected == ' ';
			open_all();
			phases[p].into();
			result = calls[c].call();
			if (*expected == '+' ? result < 0
					     : result != (*expected == 'B' ? -EBUSY : -EINVAL))
				fail_msg("%s while %s: %d (%s)", calls[c].name, phases[p].name,
					 result, plain_error_text(the_state, RS_ERROR_OF_CALL));
			if (*expected != '+')
				assert_string_not_equal(
				    plain_error_text(the_state, RS_ERROR_OF_CALL), "");
			close_all();
		}
	}
}

/* A refusal changes nothing: the sequence goes on as if nothing had been. */
static void refusals_do_no_harm(void **unused)
{
	(void)unused;
	open_all();
	into_saving();
	assert_int_equal(save_setup(), -EBUSY);
	assert_int_equal(load_setup(), -EBUSY);
	assert_int_equal(load(), -EINVAL);
	assert_int_equal(migrate_out(), -EBUSY);
	assert_int_equal(rs_save_iterate(the_state, out), 1);
	assert_int_equal(rs_save_complete(the_state, out), 0);
	rs_save_cleanup(the_state);
	/* Idle again. */
	assert_int_equal(rs_load_setup(the_state, NULL, NULL), 0);
	assert_int_equal(rs_load(the_state, in, 4), 0);
	assert_int_equal(rs_load_cleanup(the_state), 0);
	assert_int_equal(migrate_out(), 0);
	close_all();
}

/* After a failure only the cleanup is left, and it makes all good. */
static void a_failed_sequence_is_cleaned_up(void **unused)
{
	(void)unused;
	open_all();
	into_save_failed();
	rs_save_cleanup(the_state);
	rs_stream_close(out, NULL);
	assert_int_equal(rs_stream_to_memory(1 << 20, &out), 0);
	into_saving();
	rs_save_cleanup(the_state);
	into_load_failed();
	assert_int_equal(rs_load_cleanup(the_state), 0);
	into_loading();
	assert_int_equal(load(), 0);
	/* Destroyed in the middle of it. */
	close_all();
}

/* A set-up that fails needs no clean-up. */
static void a_failed_setup_is_closed(void **unused)
{
	(void)unused;
	open_all();
	rs_stream_shutdown(out);
	assert_int_equal(rs_save_setup(the_state, out), -ECANCELED);
	rs_stream_close(out, NULL);
	assert_int_equal(rs_stream_to_memory(1 << 20, &out), 0);
	assert_int_equal(rs_save_setup(the_state, out), 0);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_in_every_phase),
		cmocka_unit_test(refusals_do_no_harm),
		cmocka_unit_test(a_failed_sequence_is_cleaned_up),
		cmocka_unit_test(a_failed_setup_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
