/* SPDX-License-Identifier: MIT */
/*
 * Postcopy over a connection that is cut at every border between two messages, there, back and on preempt's
 * channel, and at a sample of bytes between them; and the same for the connection over which it recovers from such a
 * cut. Whatever happens the guest is whole at exactly one end, as it is, or after a recovery, or after one end was
 * told what became of it at the other one. RS_TEST_LONG=1 takes more bytes.
 */
#include "borders.h"
#include "postcopy_drive.h"
#include "support/test_scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 1500
#define RECORD_BYTES (4u << 20)
#define AHEAD_BYTES 1024u
#define WAYS 3u /* there, back, channel */

struct cut {
	unsigned connection; /* 0: the first one; 1: the recovery after one in the middle of it */
	unsigned way;
	uint64_t at;
	uint64_t first_at;           /* of connection 1: where the first one was cut, there */
	struct fake_record *records; /* not NULL: of each way; nothing is cut */
};

struct tally {
	unsigned moved, stayed, recoveries;
};

static struct fake_options *options_of(struct postcopy_connection *connection, unsigned way)
{
	struct fake_options *const options[WAYS] = { &connection->there, &connection->back,
						     &connection->channel };

	return options[way];
}

static void cut_at(struct fake_options *options, uint64_t at)
{
	options->cut = true;
	options->cut_at = at;
}

static void plan(struct postcopy_drive *drive, struct postcopy_connection *connection)
{
	const struct cut *cut = drive->opaque;

	/* The source is not far ahead of what the destination has read. */
	connection->there.capacity = AHEAD_BYTES;
	if (drive->recoveries < cut->connection)
		cut_at(&connection->there, cut->first_at);
	if (drive->recoveries != cut->connection)
		return;
	for (unsigned way = 0; cut->records != NULL && way < WAYS; way++)
		options_of(connection, way)->record = &cut->records[way];
	if (cut->records == NULL)
		cut_at(options_of(connection, cut->way), cut->at);
}

static void run(const struct postcopy_how *how, struct cut *cut, struct tally *tally)
{
	struct postcopy_drive drive;

	if (getenv("RS_TEST_SAY") != NULL)
		print_message("%s: connection %u, way %u, byte %llu\n", how->name, cut->connection,
			      cut->way, (unsigned long long)cut->at);
	postcopy_drive_open(&drive, how, false);
	drive.plan = plan;
	drive.opaque = cut;
	postcopy_drive_run(&drive);
	tally->recoveries += drive.recoveries;
	tally->moved += drive.pair.to->running;
	tally->stayed += drive.pair.from->running;
	postcopy_drive_check(&drive);
	postcopy_drive_close(&drive);
}

/* ---- where to cut -------------------------------------------------------------------------- */

static void find_borders(struct borders *borders, const struct fake_record *record, unsigned way)
{
	int result;

	borders->count = 0;
	if (record->length == 0)
		return;
	if (way == 0)
		result = borders_of_source(borders, record->bytes, record->length, 4096);
	else if (way == 1)
		result = borders_of_answers(borders, record->bytes, record->length);
	else
		result = borders_of_channel(borders, record->bytes, record->length, 4096);
	if (result != 0)
		fail_msg("way %u: the record of %zu bytes is not understood behind byte %llu", way,
			 record->length, (unsigned long long)borders->at[borders->count - 1]);
}

static void cut_way(const struct postcopy_how *how, struct cut *cut,
		    const struct fake_record *record, struct tally *tally)
{
	unsigned samples = test_is_long() ? 1000 : 10;
	/* Others for each way. */
	size_t step = test_is_short() ? 3 : 1, first = test_is_short() ? cut->way : 0;
	struct test_random random = { .state = 7 + cut->way };
	struct borders borders;

	find_borders(&borders, record, cut->way);
	for (size_t i = first; i < borders.count; i += step) {
		cut->at = borders.at[i];
		run(how, cut, tally);
	}
	for (unsigned i = 0; i < samples && record->length != 0; i++) {
		cut->at = test_random_below(&random, record->length);
		run(how, cut, tally);
	}
}

static void record(const struct postcopy_how *how, struct cut *cut, struct fake_record *records)
{
	struct tally unused = { 0 };

	cut->records = records;
	for (unsigned way = 0; way < WAYS; way++)
		records[way].length = 0;
	run(how, cut, &unused);
	cut->records = NULL;
	assert_int_equal(unused.moved, 1);
	assert_int_equal(unused.recoveries, cut->connection);
}

static void cut_connection(const struct postcopy_how *how, struct cut *cut,
			   struct fake_record *records, struct tally *tally)
{
	record(how, cut, records);
	for (cut->way = 0; cut->way < WAYS; cut->way++)
		cut_way(how, cut, &records[cut->way], tally);
}

static void cut_everywhere(const struct postcopy_how *how)
{
	struct fake_record records[WAYS] = { { .room = 0 } };
	struct tally first = { 0 }, second = { 0 };
	struct cut cut = { .connection = 0 };

	for (unsigned way = 0; way < WAYS; way++) {
		records[way].bytes = malloc(RECORD_BYTES);
		records[way].room = RECORD_BYTES;
		assert_non_null(records[way].bytes);
	}
	cut_connection(how, &cut, records, &first);
	print_message("%s: %u guests moved, %u stayed; %u recoveries\n", how->name, first.moved,
		      first.stayed, first.recoveries);
	assert_true(first.stayed > 0 && first.recoveries > 0 && first.moved >= first.recoveries);
	cut.connection = 1;
	/* Some pages are left. */
	cut.first_at = records[0].length - 4 * 4096;
	cut_connection(how, &cut, records, &second);
	print_message("%s, again: %u guests moved, %u stayed; %u recoveries\n", how->name,
		      second.moved, second.stayed, second.recoveries);
	assert_true(second.stayed == 0 && second.recoveries > second.moved);
	for (unsigned way = 0; way < WAYS; way++)
		free(records[way].bytes);
}

static void natively(void **unused)
{
	(void)unused;
	cut_everywhere(&postcopy_hows[0]);
	cut_everywhere(&postcopy_hows[1]);
}

static void in_qemus_form(void **unused)
{
	(void)unused;
	for (unsigned i = 2; i < POSTCOPY_HOWS; i++)
		cut_everywhere(&postcopy_hows[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(natively),
		cmocka_unit_test(in_qemus_form),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_borders", tests, NULL, NULL);
}
