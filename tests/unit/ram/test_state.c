/* SPDX-License-Identifier: MIT */
#include "ram/state.h"

#include "support/fake_stream.h"

#include <setjmp.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct rs_state the_state;

static int setup(void **state)
{
	*state = &the_state;
	return rs_state_init(&the_state, 4096);
}

static int teardown(void **state)
{
	rs_state_fini(*state);
	return 0;
}

static void the_first_failure_is_the_sessions(void **state)
{
	struct rs_state *s = *state;

	rs_session_open(s);
	assert_int_equal(rs_session_code(s), 0);
	assert_int_equal(rs_session_fail(s, -EIO, "page %d", 7), -EIO);
	assert_int_equal(rs_session_fail(s, -EINVAL, "later"), -EIO);
	assert_int_equal(rs_session_code(s), -EIO);
	assert_string_equal(s->session.error.text, "page 7");

	const struct rs_error other = { -EPERM, "later still" };

	assert_int_equal(rs_session_fail_with(s, &other), -EIO);
	assert_string_equal(s->session.error.text, "page 7");
	rs_session_close(s);
	/* The error is there until the next session begins. */
	assert_int_equal(rs_session_code(s), -EIO);
	rs_session_open(s);
	assert_int_equal(rs_session_code(s), 0);
	assert_string_equal(s->session.error.text, "");
	rs_session_close(s);
}

static void a_call_cannot_begin_after_a_failure(void **state)
{
	struct rs_state *s = *state;

	rs_session_open(s);
	assert_int_equal(rs_session_attach(s, NULL), 0);
	assert_true(s->session.attached);
	rs_session_detach(s);
	assert_false(s->session.attached);
	rs_session_fail(s, -ESTALE, "gone");
	assert_int_equal(rs_session_attach(s, NULL), -ESTALE);
	assert_false(s->session.attached);
	rs_session_close(s);
}

static void refusals_replace_each_other(void **state)
{
	struct rs_state *s = *state;

	assert_int_equal(rs_state_refuse(s, -EINVAL, "first %s", "text"), -EINVAL);
	assert_string_equal(s->call_error.text, "first text");
	assert_int_equal(rs_state_refuse(s, -EBUSY, "second"), -EBUSY);
	assert_int_equal(s->call_error.code, -EBUSY);
	assert_string_equal(s->call_error.text, "second");
	assert_int_equal(rs_session_code(s), 0);
}

static void a_streams_failure_becomes_the_sessions(void **state)
{
	const struct fake_options broken = { .write_fail_code = -EPIPE, .write_fail_at = 3 };
	struct rs_stream *writer, *reader;
	struct rs_state *s = *state;

	assert_int_equal(fake_stream_pipe(&broken, &writer, &reader), 0);
	rs_session_open(s);
	rs_stream_put_be16(writer, 1);
	rs_stream_flush(writer);
	assert_int_equal(rs_session_check_stream(s, writer), 0);
	rs_stream_put_be16(writer, 1);
	rs_stream_flush(writer);
	assert_int_equal(rs_session_check_stream(s, writer), -EPIPE);
	assert_int_equal(rs_session_code(s), -EPIPE);
	assert_string_not_equal(s->session.error.text, "");
	rs_session_close(s);
	rs_stream_close(writer, NULL);
	rs_stream_close(reader, NULL);
}

struct blocked {
	struct rs_state *state;
	struct rs_stream *stream;
	int result;
};

static void *block_in_a_read(void *argument)
{
	struct blocked *blocked = argument;

	blocked->result = rs_session_attach(blocked->state, blocked->stream);
	if (blocked->result != 0)
		return NULL;
	rs_stream_get_u8(blocked->stream);
	blocked->result = rs_session_check_stream(blocked->state, blocked->stream);
	rs_session_detach(blocked->state);
	return NULL;
}

/* How cancel and the removal of a region reach a peer that stalls. */
static void a_failure_wakes_the_call_that_runs(void **state)
{
	struct blocked blocked = { .state = *state };
	struct rs_stream *writer;
	pthread_t thread;

	assert_int_equal(fake_stream_pipe(NULL, &writer, &blocked.stream), 0);
	rs_session_open(*state);
	assert_int_equal(pthread_create(&thread, NULL, block_in_a_read, &blocked), 0);
	usleep(5000);
	rs_session_fail(*state, -ECANCELED, "enough");
	pthread_join(thread, NULL);
	/* Where the thread came late it is the attach that was refused. */
	assert_int_equal(blocked.result, -ECANCELED);
	assert_int_equal(rs_session_code(*state), -ECANCELED);
	rs_session_close(*state);
	rs_stream_close(writer, NULL);
	rs_stream_close(blocked.stream, NULL);
}

/* The worker's own failure leaves it a stream on which it can say what failed. */
static void ones_own_failure_leaves_the_stream(void **state)
{
	struct rs_stream *writer, *reader;
	struct rs_state *s = *state;

	assert_int_equal(fake_stream_pipe(NULL, &writer, &reader), 0);
	rs_session_open(s);
	rs_session_attach(s, writer);
	rs_session_fail(s, -EINVAL, "bad record");
	assert_int_equal(rs_stream_error(writer, NULL), 0);
	rs_stream_put_u8(writer, 0x55);
	assert_int_equal(rs_stream_flush(writer), 0);
	assert_int_equal(rs_stream_get_u8(reader), 0x55);
	rs_session_detach(s);
	rs_session_close(s);
	rs_stream_close(writer, NULL);
	rs_stream_close(reader, NULL);
}

static void break_it(struct rs_state *state, const char *why)
{
	pthread_mutex_lock(&state->lock);
	rs_session_break_locked(state, -ECANCELED, why);
	pthread_mutex_unlock(&state->lock);
}

/* The stream that is waited for now is shut, and not the other one; and it may go on with a third. */
static void a_break_shuts_the_stream_that_is_used(void **state)
{
	struct rs_stream *writer, *reader;
	struct rs_state *s = *state;
	struct rs_error why;

	assert_int_equal(fake_stream_pipe(NULL, &writer, &reader), 0);
	rs_session_open(s);
	/* Nothing is attached, so nothing is used. */
	assert_int_equal(rs_session_use_stream(s, reader), 0);
	break_it(s, "nobody minds");
	assert_int_equal(rs_stream_error(reader, NULL), 0);
	assert_true(rs_session_pause(s, &why));
	assert_int_equal(rs_session_attach(s, writer), 0);
	assert_int_equal(rs_session_use_stream(s, reader), 0);
	break_it(s, "somebody wants another");
	break_it(s, "and somebody else, too");
	assert_int_equal(rs_stream_error(reader, NULL), -ECANCELED);
	assert_int_equal(rs_stream_error(writer, NULL), 0);
	assert_int_equal(rs_session_use_stream(s, writer), -ECANCELED);
	assert_true(rs_session_pause(s, &why));
	assert_string_equal(why.text, "somebody wants another");
	assert_int_equal(rs_session_code(s), 0);
	rs_session_close(s);
	rs_stream_close(writer, NULL);
	rs_stream_close(reader, NULL);
}

static void keep_warning(void *opaque, const char *text)
{
	strcpy(opaque, text);
}

static void warnings_go_where_they_are_wanted(void **state)
{
	struct rs_state *s = *state;
	char heard[RS_ERROR_TEXT_BYTES] = "";

	rs_session_warn(s, "nobody hears %d", 1);
	s->session.warn = keep_warning;
	s->session.warn_opaque = heard;
	rs_session_warn(s, "odd thing %d", 2);
	assert_string_equal(heard, "odd thing 2");
	rs_session_close(s);
	rs_session_warn(s, "too late");
	assert_string_equal(heard, "odd thing 2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_first_failure_is_the_sessions),
		TEST(a_call_cannot_begin_after_a_failure),
		TEST(refusals_replace_each_other),
		TEST(a_streams_failure_becomes_the_sessions),
		TEST(a_failure_wakes_the_call_that_runs),
		TEST(ones_own_failure_leaves_the_stream),
		TEST(a_break_shuts_the_stream_that_is_used),
		TEST(warnings_go_where_they_are_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
