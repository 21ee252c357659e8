/* SPDX-License-Identifier: MIT */
/* The sleep of the thread that saves: who ends it, and who leaves it alone. */
#include "save/waker.h"
#include "transport/stream.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 60
#define LOOKS 20
#define LOOK_US 1000

struct fixture {
	struct rs_waker waker;
	struct rs_stream *stream;
	bool for_budget;
	pthread_t thread;
	_Atomic bool ended;
	int result;
};

static bool never(void *opaque)
{
	(void)opaque;
	return false;
}

static void *sleep_there(void *opaque)
{
	struct fixture *fixture = opaque;

	fixture->result =
	    rs_waker_sleep(&fixture->waker, fixture->stream, fixture->for_budget, never, NULL);
	atomic_store(&fixture->ended, true);
	return NULL;
}

static bool sleeps(struct fixture *fixture)
{
	pthread_mutex_lock(&fixture->waker.lock);
	bool it_does = fixture->waker.stream != NULL;

	pthread_mutex_unlock(&fixture->waker.lock);
	return it_does;
}

/* Asleep, and its stream has no budget for years. */
static void begin(struct fixture *fixture, bool for_budget)
{
	static const uint8_t bytes[4096];

	*fixture = (struct fixture){ .for_budget = for_budget };
	rs_waker_init(&fixture->waker);
	assert_int_equal(rs_stream_to_memory(1 << 20, &fixture->stream), 0);
	rs_stream_rate_set(fixture->stream, 1);
	assert_false(rs_stream_rate_exceeded(fixture->stream));
	rs_stream_put_bytes(fixture->stream, bytes, sizeof(bytes));
	assert_true(rs_stream_rate_exceeded(fixture->stream));
	assert_int_equal(pthread_create(&fixture->thread, NULL, sleep_there, fixture), 0);
	while (!sleeps(fixture))
		usleep(LOOK_US);
}

static void end(struct fixture *fixture)
{
	pthread_join(fixture->thread, NULL);
	assert_int_equal(fixture->result, 0);
	rs_stream_close(fixture->stream, NULL);
	rs_waker_fini(&fixture->waker);
}

static void a_call_ends_either_sleep(void **unused)
{
	struct fixture fixture;

	(void)unused;
	for (int for_budget = 0; for_budget < 2; for_budget++) {
		begin(&fixture, for_budget != 0);
		rs_waker_call(&fixture.waker);
		end(&fixture);
		begin(&fixture, for_budget != 0);
		rs_waker_wake(&fixture.waker);
		assert_true(rs_waker_ends_body(&fixture.waker));
		end(&fixture);
	}
}

static void who_sleeps_for_budget_may_be_left_alone(void **unused)
{
	struct fixture fixture;

	(void)unused;
	begin(&fixture, true);
	for (int i = 0; i < LOOKS; i++) {
		rs_waker_call_unless_for_budget(&fixture.waker);
		usleep(LOOK_US);
		assert_false(fixture.ended);
	}
	rs_waker_call(&fixture.waker);
	end(&fixture);
}

static void others_hear_of_it(void **unused)
{
	struct fixture fixture;

	(void)unused;
	begin(&fixture, false);
	rs_waker_call_unless_for_budget(&fixture.waker);
	end(&fixture);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_ends_either_sleep),
		cmocka_unit_test(who_sleeps_for_budget_may_be_left_alone),
		cmocka_unit_test(others_hear_of_it),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
