/* SPDX-License-Identifier: MIT */
/*
 * Peers, or networks, that stall in postcopy and do not close: no byte comes, and nobody is told. The end that waits
 * gives the connection up after the stall time-out, in each phase, while the other one still believes in it. Before the
 * guest was handed over it stays at the source; afterwards both ends pause, and go on over a new connection.
 */
#include "postcopy_stage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 600
#define SHORT_MS 120u
#define LONG_MS 60000u

struct stall {
	struct postcopy_staged staged;
	enum postcopy_stage stage;
	bool source; /* is the end that waits a short time; the other one waits a long one */
	unsigned timeout_ms;
	bool reached;
	/* of a recovery that gets so far */
	unsigned way;
	uint64_t bytes;
};

#define MAX_STALLS 64u

static void set_timeout(struct guest *guest, unsigned timeout_ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", timeout_ms);
	assert_int_equal(rs_param_set(guest->state, "stall-timeout", text), 0);
}

static const char *end_name(const struct stall *stall)
{
	return stall->source ? "source" : "destination";
}

static void prepare(struct stall *stall, const struct postcopy_how *how)
{
	struct pair *pair = &stall->staged.drive.pair;

	postcopy_stage_open(&stall->staged, how, stall->stage);
	set_timeout(pair->from, stall->source ? stall->timeout_ms : LONG_MS);
	set_timeout(pair->to, stall->source ? LONG_MS : stall->timeout_ms);
}

/* The end that has waited long enough, and nobody else, has noticed. */
static void await_stall(const struct stall *stall)
{
	const struct postcopy_drive *drive = &stall->staged.drive;

	while (!postcopy_drive_has_ended(drive, stall->source) &&
	       (stall->source ? atomic_load(&drive->from_pauses) <= drive->from_offers
			      : atomic_load(&drive->to_pauses) <= drive->to_offers))
		usleep(300);
}

/* It says why, and whether it paused or failed is what the phase demands. */
static void check_stall(const struct stall *stall, bool pauses)
{
	const struct postcopy_drive *drive = &stall->staged.drive;
	const struct guest *guest = stall->source ? drive->pair.from : drive->pair.to;
	struct rs_error why;

	await_stall(stall);
	rs_error_get(guest->state, RS_ERROR_OF_MIGRATION, &why);
	enum rs_status wanted = pauses ? RS_STATUS_POSTCOPY_PAUSED : RS_STATUS_FAILED;
	enum rs_status is = rs_migrate_status(guest->state);

	if (is != wanted || why.code != -ETIMEDOUT || why.text[0] == '\0')
		fail_msg("%s, %s: the %s is %s, not %s: %d '%s'", drive->how->name,
			 postcopy_stage_names[stall->stage], end_name(stall), rs_status_name(is),
			 rs_status_name(wanted), why.code, why.text);
}

static void end_stall(struct stall *stall)
{
	postcopy_stage_release(&stall->staged);
	postcopy_drive_settle(&stall->staged.drive);
	postcopy_drive_check(&stall->staged.drive);
	postcopy_drive_close(&stall->staged.drive);
}

/* ---- in each phase ------------------------------------------------------------------------------ */

/* Whether the guest may be the other end's by then, as far as the end that waits can know. */
static bool is_past_return(const struct stall *stall, bool native)
{
	if (stall->stage == STAGE_PACKAGE)
		return !native;
	return stall->stage > STAGE_READY || (stall->stage == STAGE_READY && !stall->source);
}

static unsigned open_stalls(struct stall *stalls, const struct postcopy_how *how)
{
	unsigned count = 0;

	for (unsigned stage = 0; stage < STAGES; stage++) {
		/* Paused it waits for as long as it takes, and done for nothing. */
		if (stage == STAGE_PAUSED || stage == STAGE_DONE ||
		    !postcopy_stage_exists(stage, how))
			continue;
		for (unsigned source = 0; source < 2; source++)
			stalls[count++] = (struct stall){ .stage = stage,
							  .source = source == 1,
							  .timeout_ms = SHORT_MS };
	}
	return count;
}

/* It may stall before it gets there, where everything is slow: once more, with more patience. */
static void reach(struct stall *stall, const struct postcopy_how *how)
{
	for (;; stall->timeout_ms *= 2) {
		prepare(stall, how);
		stall->reached = postcopy_stage_reach(&stall->staged);
		if (stall->reached || stall->timeout_ms > LONG_MS)
			return;
		end_stall(stall);
	}
}

/* All at once, so that the time-outs pass together. */
static void stall_everywhere(const struct postcopy_how *how)
{
	struct stall *stalls = calloc(MAX_STALLS, sizeof(*stalls));
	bool native = how->machine[0] == '\0';

	assert_non_null(stalls);
	unsigned count = open_stalls(stalls, how);

	for (unsigned i = 0; i < count; i++)
		reach(&stalls[i], how);
	for (unsigned i = 0; i < count; i++) {
		if (getenv("RS_TEST_SAY") != NULL)
			print_message("%s, %s, %s\n", how->name,
				      postcopy_stage_names[stalls[i].stage], end_name(&stalls[i]));
		check_stall(&stalls[i], is_past_return(&stalls[i], native));
		end_stall(&stalls[i]);
	}
	free(stalls);
}

static void in_each_phase(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < POSTCOPY_HOWS; i++)
		stall_everywhere(&postcopy_hows[i]);
}

/* ---- while it recovers -------------------------------------------------------------------------- */

/* How far: inside what is asked and answered, and inside the pages. */
static const uint64_t bytes_there[] = { 1, 30, 50, 60, 75, 90, 110, 4000, 30000 };
static const uint64_t bytes_back[] = { 1, 20, 40, 75, 105, 110 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static unsigned open_recoveries(struct stall *stalls)
{
	const struct stall stall = { .stage = STAGE_PAUSED, .timeout_ms = SHORT_MS };
	unsigned count = 0;

	for (unsigned i = 0; i < 2 * COUNT(bytes_there); i++) {
		stalls[count] = stall;
		stalls[count].source = i % 2 == 0;
		stalls[count++].bytes = bytes_there[i / 2];
	}
	/* A destination whose answers are lost may have all it needs. */
	for (unsigned i = 0; i < COUNT(bytes_back); i++) {
		stalls[count] = stall;
		stalls[count].source = true;
		stalls[count].way = 1;
		stalls[count++].bytes = bytes_back[i];
	}
	return count;
}

static void stall_recoveries(const struct postcopy_how *how)
{
	struct stall *stalls = calloc(MAX_STALLS, sizeof(*stalls));

	assert_non_null(stalls);
	unsigned count = open_recoveries(stalls);

	for (unsigned i = 0; i < count; i++) {
		reach(&stalls[i], how);
		stalls[i].staged.recovery_bytes[stalls[i].way] = stalls[i].bytes;
		postcopy_drive_recover(&stalls[i].staged.drive);
	}
	for (unsigned i = 0; i < count; i++) {
		if (getenv("RS_TEST_SAY") != NULL)
			print_message("%s, %s, byte %llu %s\n", how->name, end_name(&stalls[i]),
				      (unsigned long long)stalls[i].bytes,
				      stalls[i].way == 0 ? "there" : "back");
		check_stall(&stalls[i], true);
		end_stall(&stalls[i]);
		assert_true(stalls[i].staged.drive.recoveries > 1);
		assert_int_equal(stalls[i].staged.drive.transfer.in.result, 0);
	}
	free(stalls);
}

static void while_it_recovers(void **unused)
{
	(void)unused;
	stall_recoveries(&postcopy_hows[1]);
	stall_recoveries(&postcopy_hows[2]);
}

/* ---- of the channel ----------------------------------------------------------------------------- */

/* The guest asks for a page, and does not get it there. */
static void *touch(void *argument)
{
	postcopy_drive_touch(argument);
	return NULL;
}

/*
 * Pages that were asked for are lost on their way, and all others come: the destination waits for what is missing, or,
 * if the channel takes no more, the source does.
 */
static void stall_channel(const struct postcopy_how *how, bool source)
{
	struct stall stall = { .stage = STAGE_ACTIVE, .source = source, .timeout_ms = SHORT_MS };
	struct postcopy_staged *staged = &stall.staged;
	pthread_t toucher;

	for (;; stall.timeout_ms *= 2) {
		prepare(&stall, how);
		staged->silence = SILENCE_CHANNEL;
		/* A page does not fit; or all do, and it does not show. */
		staged->capacity = source ? 1024 : 1u << 20;
		/* What is not asked for does not come so soon. */
		assert_int_equal(rs_param_set(staged->drive.pair.from->state,
					      "max-postcopy-bandwidth", "100k"),
				 0);
		if (postcopy_stage_reach(staged) || stall.timeout_ms > LONG_MS)
			break;
		end_stall(&stall);
	}
	assert_int_equal(pthread_create(&toucher, NULL, touch, &staged->drive), 0);
	while (atomic_load(&staged->valves[0][2].written) <= atomic_load(&staged->valves[0][2].at))
		usleep(300);
	assert_int_equal(
	    rs_param_set(staged->drive.pair.from->state, "max-postcopy-bandwidth", "0"), 0);
	check_stall(&stall, true);
	postcopy_stage_release(staged);
	postcopy_drive_settle(&staged->drive);
	pthread_join(toucher, NULL);
	assert_int_equal(staged->drive.transfer.out.result, 0);
	assert_int_equal(staged->drive.transfer.in.result, 0);
	assert_true(staged->drive.recoveries > 0);
	postcopy_drive_check(&staged->drive);
	postcopy_drive_close(&staged->drive);
}

static void of_the_channel_alone(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < POSTCOPY_HOWS; i++) {
		if (!postcopy_hows[i].preempt)
			continue;
		stall_channel(&postcopy_hows[i], true);
		stall_channel(&postcopy_hows[i], false);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_each_phase),
		cmocka_unit_test(while_it_recovers),
		cmocka_unit_test(of_the_channel_alone),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_stalls", tests, NULL, NULL);
}
