/* SPDX-License-Identifier: MIT */
/* The hand-over at each end against a peer that may say, or not say, anything; and how what is in
 * doubt is settled. At each step: who has the guest. */
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct scripted_peer peer;

static int setup(void **state)
{
	(void)state;
	scripted_peer_open(&peer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scripted_peer_close(&peer);
	return 0;
}

static void check_error(const char *text)
{
	plain_error_check(peer.state, RS_ERROR_OF_MIGRATION, text);
}

/* How the migration's own part of the journal must end. */
static void check_journal_end(const char *end)
{
	size_t length = strlen(peer.vm.journal);

	assert_true(length >= strlen(end));
	assert_string_equal(peer.vm.journal + length - strlen(end), end);
}

/* ---- the source ---------------------------------------------------------------------------- */

/* Up to the last word before the guest is stopped, which has been read. */
static void source_sends(void)
{
	scripted_peer_connect(&peer);
	scripted_peer_start_out(&peer);
	scripted_peer_expect(&peer, PEER_HEADER PEER_OFFER);
	scripted_peer_expect_features(&peer);
	scripted_peer_say(&peer, "16:5253");
	scripted_peer_say_features(&peer, "slrh");
	scripted_peer_expect(&peer, PEER_SETUP PEER_PART PEER_PING);
}

/* Up to CHECK, which has been read. */
static void source_asks(void)
{
	source_sends();
	scripted_peer_say(&peer, PEER_PONG);
	scripted_peer_expect(&peer, PEER_END PEER_CHECK);
}

static void source_in_doubt(void)
{
	source_asks();
	scripted_peer_say(&peer, PEER_READY);
	scripted_peer_expect(&peer, PEER_COMMIT);
	scripted_peer_hang_up(&peer);
	assert_int_equal(rs_migrate_wait(peer.state), RS_ERROR_IN_DOUBT);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	check_journal_end("device stop pass3 save in-doubt ");
}

/* The guest was not stopped yet. */
static void answers_to_the_first_question(void **state)
{
	static const struct {
		const char *answer;
		int result;
		const char *text;
	} cases[] = {
		{ PEER_FAILED, -EREMOTEIO, "the destination failed: full" },
		{ PEER_READY, -EPROTO, "says 0x5254 where 0x2 is due" },
		{ "16:2", -ENODATA, "ended" },
		{ "", -ENODATA, "ended" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		source_sends();
		scripted_peer_say(&peer, cases[i].answer);
		scripted_peer_hang_up(&peer);
		assert_int_equal(rs_migrate_wait(peer.state), cases[i].result);
		check_journal_end("active pass1 pass2 failed ");
		check_error(cases[i].text);
	}
}

static void answers_to_the_source(void **state)
{
	static const struct {
		const char *to_check, *to_commit; /* NULL: not asked any more */
		int result;
		const char *journal, *text;
	} cases[] = {
		{ PEER_READY, PEER_RUNNING, 0, "save completed ", "" },
		/* before COMMIT the guest is the source's, whatever happens */
		{ PEER_FAILED, NULL, -EREMOTEIO, "save go-on failed ",
		  "the destination failed: full" },
		{ PEER_RUNNING, NULL, -EPROTO, "save go-on failed ",
		  "says 0x5255 where 0x5254 is due" },
		{ "16:5253 16:0", NULL, -EPROTO, "save go-on failed ", "0x5253" },
		{ "16:5254", NULL, -ENODATA, "save go-on failed ", "ended" },
		{ "", NULL, -ENODATA, "save go-on failed ", "ended" },
		/* after it, only a clear word gives it back */
		{ PEER_READY, PEER_FAILED, -EREMOTEIO, "save go-on failed ",
		  "the destination failed: full" },
		{ PEER_READY, PEER_READY, RS_ERROR_IN_DOUBT, "save in-doubt ", "0x5254" },
		/* cut, but said */
		{ PEER_READY, "16:5256 16:4 t:fu", -ENODATA, "save go-on failed ", "ended" },
		{ PEER_READY, "16:52", RS_ERROR_IN_DOUBT, "save in-doubt ", "ended" },
		{ PEER_READY, "", RS_ERROR_IN_DOUBT, "save in-doubt ", "ended" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%zu: '%s' '%s'\n", i, cases[i].to_check,
			      cases[i].to_commit != NULL ? cases[i].to_commit : "");
		source_asks();
		scripted_peer_say(&peer, cases[i].to_check);
		if (cases[i].to_commit != NULL) {
			scripted_peer_expect(&peer, PEER_COMMIT);
			scripted_peer_say(&peer, cases[i].to_commit);
		}
		scripted_peer_hang_up(&peer);
		assert_int_equal(rs_migrate_wait(peer.state), cases[i].result);
		check_journal_end(cases[i].journal);
		check_error(cases[i].text);
		if (cases[i].result == RS_ERROR_IN_DOUBT)
			assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_DISCARD), 0);
	}
}

static void a_source_in_doubt_does_nothing_else(void **state)
{
	struct rs_stream *stream;

	(void)state;
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	source_in_doubt();
	assert_int_equal(rs_migrate_out(peer.state, stream, &journal_vm_ops, &peer.vm), -EBUSY);
	assert_int_equal(rs_migrate_start_out(peer.state, stream, &journal_vm_ops, &peer.vm),
			 -EBUSY);
	assert_int_equal(rs_save_setup(peer.state, stream), -EBUSY);
	assert_int_equal(rs_load_setup(peer.state, NULL, NULL), -EBUSY);
	assert_non_null(
	    strstr(plain_error_text(peer.state, RS_ERROR_OF_CALL), "a migration is in doubt"));
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	assert_int_equal(rs_param_set(peer.state, "machine", "pc"), -EBUSY);
	rs_stream_close(stream, NULL);
}

static void a_source_resolved_by_decree(void **state)
{
	(void)state;
	source_in_doubt();
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_FAILED);
	check_journal_end("in-doubt go-on failed ");
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), -EINVAL);

	source_in_doubt();
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_DISCARD), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_COMPLETED);
	check_journal_end("in-doubt completed ");
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_DISCARD), -EINVAL);

	/* A VMM that cannot run it leaves the doubt. */
	source_in_doubt();
	peer.vm.resume_code = -ENOLCK;
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), -ENOLCK);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	peer.vm.resume_code = 0;
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), 0);
}

/* The source's question when it comes back: which migration, and what it holds to be true. */
#define CLAIM_COMMITTED "8:1 "
#define CLAIM_ABORTED "8:2 "

/* Ask with an answer that was laid ready. */
static int reconnect_out(const char *answer, const char *claim)
{
	uint8_t session[16];
	int result;

	scripted_peer_connect(&peer);
	scripted_peer_say(&peer, answer);
	if (*answer == '\0')
		scripted_peer_hang_up(&peer);
	peer.vm.journal[0] = '\0';
	result = rs_migrate_reconnect_out(peer.state, peer.stream);
	if (*answer == '\0')
		return result;
	scripted_peer_expect(&peer, PEER_HEADER "8:8 16:5256 16:11 ");
	assert_int_equal(rs_stream_get_bytes(peer.peer, session, 16), 0);
	assert_memory_equal(session, peer.session, 16);
	scripted_peer_expect(&peer, claim);
	return result;
}

static void a_source_that_asks_again(void **state)
{
	(void)state;
	source_in_doubt();
	/* No answer, or none that means anything: in doubt as before. */
	assert_true(reconnect_out("", CLAIM_COMMITTED) < 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	assert_int_equal(reconnect_out(PEER_READY, CLAIM_COMMITTED), -EPROTO);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	assert_string_equal(peer.vm.journal, "");
	/* It runs there. */
	assert_int_equal(reconnect_out(PEER_RUNNING, CLAIM_COMMITTED), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_COMPLETED);
	assert_string_equal(peer.vm.journal, "completed ");
	assert_int_equal(rs_migrate_reconnect_out(peer.state, peer.stream), -EINVAL);

	/* It was discarded there. */
	source_in_doubt();
	assert_int_equal(reconnect_out(PEER_FAILED, CLAIM_COMMITTED), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_FAILED);
	assert_string_equal(peer.vm.journal, "go-on failed ");
}

/* It failed before COMMIT, the guest runs here; the destination may not know that. */
static void a_source_that_failed_tells(void **state)
{
	(void)state;
	source_asks();
	scripted_peer_hang_up(&peer);
	assert_int_equal(rs_migrate_wait(peer.state), -ENODATA);
	check_journal_end("save go-on failed ");
	assert_int_equal(reconnect_out(PEER_RUNNING, CLAIM_ABORTED), -EEXIST);
	assert_int_equal(reconnect_out(PEER_FAILED, CLAIM_ABORTED), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_FAILED);
	/* Nothing was resumed a second time. */
	assert_string_equal(peer.vm.journal, "");
}

static void nothing_to_settle(void **state)
{
	(void)state;
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), -EINVAL);
	assert_int_equal(rs_migrate_reconnect_out(peer.state, peer.stream), -EINVAL);
	assert_int_equal(rs_migrate_reconnect_in(peer.state, peer.stream), -EINVAL);
	assert_string_not_equal(plain_error_text(peer.state, RS_ERROR_OF_CALL), "");
}

/* ---- the destination ----------------------------------------------------------------------- */

/* Up to READY, which has been read. */
static void destination_is_ready(void)
{
	scripted_peer_connect(&peer);
	memset(peer.memory, 0xee, 2 * 4096);
	scripted_peer_start_in(&peer);
	scripted_peer_say(&peer, PEER_HEADER PEER_OFFER);
	scripted_peer_say_features(&peer, "slrh");
	scripted_peer_expect(&peer, "16:5253");
	scripted_peer_expect_features(&peer);
	scripted_peer_say(&peer, PEER_SETUP PEER_PART PEER_END PEER_CHECK);
	scripted_peer_expect(&peer, PEER_READY);
	assert_int_equal(peer.memory[0], 0);
	assert_int_equal(peer.memory[4096], 0x55);
}

static void destination_in_doubt(void)
{
	destination_is_ready();
	scripted_peer_hang_up(&peer);
	assert_int_equal(rs_migrate_wait(peer.state), RS_ERROR_IN_DOUBT);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	assert_string_equal(peer.vm.journal, "setup active in-doubt ");
}

static void commit_to_the_destination(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *journal;
	} cases[] = {
		{ PEER_COMMIT, 0, "setup active resume completed " },
		/* anything else may have been a COMMIT */
		{ PEER_CHECK, RS_ERROR_IN_DOUBT, "setup active in-doubt " },
		{ "8:8 16:5255", RS_ERROR_IN_DOUBT, "setup active in-doubt " },
		{ "8:0", RS_ERROR_IN_DOUBT, "setup active in-doubt " },
		{ "", RS_ERROR_IN_DOUBT, "setup active in-doubt " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		destination_is_ready();
		scripted_peer_say(&peer, cases[i].text);
		if (cases[i].result == 0)
			scripted_peer_expect(&peer, PEER_RUNNING);
		scripted_peer_hang_up(&peer);
		assert_int_equal(rs_migrate_wait(peer.state), cases[i].result);
		assert_string_equal(peer.vm.journal, cases[i].journal);
		if (cases[i].result != 0)
			assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_DISCARD), 0);
	}
}

/* It said READY, and then it cannot: the source gets the guest back. */
static void a_destination_that_cannot_run_it(void **state)
{
	(void)state;
	peer.vm.resume_code = -ENOLCK;
	destination_is_ready();
	scripted_peer_say(&peer, PEER_COMMIT);
	scripted_peer_expect(&peer, "16:5256");
	assert_int_equal(rs_migrate_wait(peer.state), -ENOLCK);
	assert_string_equal(peer.vm.journal, "setup active resume failed ");
}

static void a_destination_resolved_by_decree(void **state)
{
	(void)state;
	destination_in_doubt();
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_COMPLETED);
	check_journal_end("in-doubt resume completed ");

	destination_in_doubt();
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_DISCARD), 0);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_FAILED);
	check_journal_end("in-doubt failed ");
}

static void say_why(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "resume") == 0 || strcmp(word, "go-on") == 0)
		rs_migrate_fail(vm->state, -ENOLCK, "key %d does not fit", 3);
}

/* Nothing changed: it is still in doubt, for the reason it was, and can be resolved. */
static void a_decree_that_cannot_be_carried_out(void **state)
{
	(void)state;
	for (unsigned explained = 0; explained < 2; explained++) {
		char doubt[RS_ERROR_TEXT_BYTES];

		source_in_doubt();
		snprintf(doubt, sizeof(doubt), "%s",
			 plain_error_text(peer.state, RS_ERROR_OF_MIGRATION));
		peer.vm.resume_code = -ENOLCK;
		peer.vm.hook = explained ? say_why : NULL;
		assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), -ENOLCK);
		assert_string_equal(plain_error_text(peer.state, RS_ERROR_OF_CALL),
				    explained ? "key 3 does not fit"
					      : "the VMM failed to resume the guest");
		assert_string_equal(plain_error_text(peer.state, RS_ERROR_OF_MIGRATION), doubt);
		assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
		peer.vm.resume_code = 0;
		peer.vm.hook = NULL;
		assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_RUN), 0);
		assert_string_equal(peer.vm.failure, doubt);
	}
}

/* Put the source's question there, then let the destination answer. */
static int reconnect_in(const char *before, const uint8_t session[16], const char *claim)
{
	int result;

	scripted_peer_connect(&peer);
	scripted_peer_say(&peer, before);
	if (session != NULL)
		rs_stream_put_bytes(peer.peer, session, 16);
	scripted_peer_say(&peer, claim);
	peer.vm.journal[0] = '\0';
	/* Nothing comes behind it: a destination that wants more sees the end. */
	rs_stream_flush(peer.peer);
	result = rs_migrate_reconnect_in(peer.state, peer.stream);
	return result;
}

#define RESOLVE PEER_HEADER "8:8 16:5256 16:11 "

static void a_destination_that_is_asked(void **state)
{
	uint8_t other[16];

	(void)state;
	destination_in_doubt();
	memcpy(other, peer.session, 16);
	other[0] ^= 1;
	assert_int_equal(reconnect_in(RESOLVE, other, CLAIM_COMMITTED), -EPERM);
	assert_int_equal(reconnect_in(RESOLVE, peer.session, "8:0"), -EPROTO);
	assert_int_equal(reconnect_in(RESOLVE, peer.session, "8:3"), -EPROTO);
	assert_int_equal(reconnect_in(PEER_HEADER PEER_CHECK, NULL, ""), -EPROTO);
	assert_int_equal(reconnect_in("t:GET 32:0 32:0", NULL, ""), -EINVAL);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	assert_string_equal(peer.vm.journal, "");

	assert_int_equal(reconnect_in(RESOLVE, peer.session, CLAIM_COMMITTED), 0);
	assert_string_equal(peer.vm.journal, "resume completed ");
	scripted_peer_expect(&peer, PEER_RUNNING);
	/* The answer got lost, and it is asked once more: it says the same, and does nothing. */
	assert_int_equal(reconnect_in(RESOLVE, peer.session, CLAIM_COMMITTED), 0);
	assert_string_equal(peer.vm.journal, "");
	scripted_peer_expect(&peer, PEER_RUNNING);
}

static void a_destination_that_is_to_discard(void **state)
{
	(void)state;
	destination_in_doubt();
	assert_int_equal(reconnect_in(RESOLVE, peer.session, CLAIM_ABORTED), 0);
	assert_string_equal(peer.vm.journal, "failed ");
	scripted_peer_expect(&peer, "16:5256");
	/* Discarded is discarded: a claim that comes late does not run it. */
	assert_int_equal(reconnect_in(RESOLVE, peer.session, CLAIM_COMMITTED), 0);
	assert_string_equal(peer.vm.journal, "");
	scripted_peer_expect(&peer, "16:5256");
}

/* Each end settles in its own direction only. */
static void the_wrong_direction(void **state)
{
	(void)state;
	destination_in_doubt();
	scripted_peer_connect(&peer);
	assert_int_equal(rs_migrate_reconnect_out(peer.state, peer.stream), -EINVAL);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
	assert_int_equal(rs_migrate_resolve(peer.state, RS_RESOLVE_DISCARD), 0);
	source_in_doubt();
	scripted_peer_connect(&peer);
	assert_int_equal(rs_migrate_reconnect_in(peer.state, peer.stream), -EINVAL);
	assert_int_equal(rs_migrate_status(peer.state), RS_STATUS_IN_DOUBT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(answers_to_the_first_question),
		TEST(answers_to_the_source),
		TEST(a_source_in_doubt_does_nothing_else),
		TEST(a_source_resolved_by_decree),
		TEST(a_source_that_asks_again),
		TEST(a_source_that_failed_tells),
		TEST(nothing_to_settle),
		TEST(commit_to_the_destination),
		TEST(a_destination_that_cannot_run_it),
		TEST(a_destination_resolved_by_decree),
		TEST(a_decree_that_cannot_be_carried_out),
		TEST(a_destination_that_is_asked),
		TEST(a_destination_that_is_to_discard),
		TEST(the_wrong_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
