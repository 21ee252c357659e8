/* SPDX-License-Identifier: MIT */
/*
 * Postcopy over connections that the library opens: the stream, the channel for preempt, and new ones over other
 * addresses when the first break.
 */
#include "pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 240

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 3000 * 4096, .filled_percent = 95 },
		     { .kind = GUEST_HUGETLB, .used_bytes = 4 << 20, .filled_percent = 60 } },
	.writers = 2,
	.burst = 20,
	.seed = 24,
};

struct fixture {
	struct pair pair;
	_Atomic unsigned pauses[2];
	_Atomic unsigned recoveries[2];
};

static int hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;
	unsigned end = guest == fixture->pair.to;

	if (moment != GUEST_STATUS)
		return 0;
	if (guest->status == RS_STATUS_ACTIVE && end == 0)
		assert_int_equal(rs_migrate_start_postcopy(guest->state), 0);
	if (guest->status == RS_STATUS_POSTCOPY_PAUSED) {
		struct rs_error why;

		rs_error_get(guest->state, RS_ERROR_OF_MIGRATION, &why);
		print_message("%s paused: %s\n", end == 0 ? "source" : "destination", why.text);
		atomic_fetch_add(&fixture->pauses[end], 1);
	}
	if (guest->status == RS_STATUS_POSTCOPY_RECOVER)
		atomic_fetch_add(&fixture->recoveries[end], 1);
	return 0;
}

static struct rs_listener *listen_anywhere(void)
{
	struct rs_listener *listener;

	assert_int_equal(rs_stream_listen("tcp:127.0.0.1:0", &listener, NULL), 0);
	return listener;
}

static void start(struct fixture *fixture, bool preempt)
{
	struct pair *pair = &fixture->pair;
	struct rs_listener *listener = listen_anywhere();
	char address[128];

	*fixture = (struct fixture){ 0 };
	pair_open(pair, &spec);
	pair->postcopy = true;
	pair->hook = hook;
	pair->hook_opaque = fixture;
	pair_set_param(pair, "postcopy-ram", "on");
	pair_set_param(pair, "postcopy-preempt", preempt ? "on" : "off");
	pair_set_param(pair, "max-postcopy-bandwidth", "20M");
	snprintf(address, sizeof(address), "%s", rs_listener_address(listener));
	assert_int_equal(
	    rs_migrate_start_accept(pair->to->state, listener, 0, &guest_vm_ops, pair->to), 0);
	assert_int_equal(
	    rs_migrate_start_connect(pair->from->state, address, 0, &guest_vm_ops, pair->from), 0);
}

static void wait_for(_Atomic unsigned *count, unsigned wanted)
{
	while (atomic_load(count) < wanted)
		usleep(300);
}

/* Both ends are paused for the n-th time, and go on over a new address. */
static void reconnect(struct fixture *fixture, unsigned n)
{
	struct pair *pair = &fixture->pair;
	struct rs_listener *listener = listen_anywhere();
	char address[128];

	wait_for(&fixture->pauses[0], n);
	wait_for(&fixture->pauses[1], n);
	snprintf(address, sizeof(address), "%s", rs_listener_address(listener));
	assert_int_equal(rs_migrate_recover_accept(pair->to->state, listener, 0), 0);
	assert_int_equal(rs_migrate_recover_connect(pair->from->state, address, 0), 0);
	wait_for(&fixture->recoveries[0], n);
	wait_for(&fixture->recoveries[1], n);
}

static void finish(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;

	pair_set_param(pair, "max-postcopy-bandwidth", "0");
	assert_int_equal(rs_migrate_wait(pair->from->state), 0);
	assert_int_equal(rs_migrate_wait(pair->to->state), 0);
	guest_let_write(pair->to, 50);
	assert_int_equal(guest_stop(pair->to), 0);
	guest_verify(pair->to);
	pair_check_sane(pair);
	pair_close(pair);
}

static void by_address(void **unused)
{
	(void)unused;
	for (unsigned preempt = 0; preempt < 2; preempt++) {
		struct fixture fixture;

		start(&fixture, preempt != 0);
		finish(&fixture);
	}
}

/* Not by whom it is paused, but that it is. */
static void pause_it(const struct guest *guest)
{
	while (rs_migrate_pause(guest->state) != 0)
		usleep(300);
}

static void over_new_addresses(void **unused)
{
	(void)unused;
	for (unsigned preempt = 0; preempt < 2; preempt++) {
		struct fixture fixture;

		start(&fixture, preempt != 0);
		pause_it(fixture.pair.from);
		reconnect(&fixture, 1);
		pause_it(fixture.pair.to);
		reconnect(&fixture, 2);
		finish(&fixture);
	}
}

/* An address at which nobody is leads back to the pause. */
static void nobody_there(void **unused)
{
	struct fixture fixture;

	(void)unused;
	start(&fixture, false);
	pause_it(fixture.pair.from);
	wait_for(&fixture.pauses[0], 1);
	assert_int_equal(rs_migrate_recover_connect(fixture.pair.from->state, "nonsense", 0),
			 -EINVAL);
	assert_int_equal(rs_migrate_recover_connect(fixture.pair.from->state, "tcp:127.0.0.1:1", 0),
			 0);
	wait_for(&fixture.pauses[0], 2);
	atomic_fetch_sub(&fixture.pauses[0], 1);
	reconnect(&fixture, 1);
	finish(&fixture);
}

/* A state that is destroyed does not wait for a connection that nobody will bring. */
static void nobody_ever(void **unused)
{
	struct fixture fixture;
	struct pair *pair = &fixture.pair;

	(void)unused;
	start(&fixture, true);
	pause_it(pair->from);
	wait_for(&fixture.pauses[0], 1);
	wait_for(&fixture.pauses[1], 1);
	/* The guest is dead: its threads wait for pages that nobody has. */
	rs_migrate_resolve(pair->to->state, RS_RESOLVE_DISCARD);
	assert_int_equal(rs_migrate_wait(pair->to->state), -ECANCELED);
	atomic_store(&pair->to->quiet, true);
	guest_destroy(pair->from);
	guest_destroy(pair->to);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_address),
		cmocka_unit_test(over_new_addresses),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(nobody_ever),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_addresses", tests, NULL, NULL);
}
