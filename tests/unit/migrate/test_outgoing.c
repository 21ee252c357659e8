/* SPDX-License-Identifier: MIT */
/* Whole migrations as both ends see them: what is asked and told in which order, and what the
 * counters say. */
#include "support/plain_region.h"
#include "support/two_ends.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct two_ends ends;

static int setup(void **state)
{
	(void)state;
	two_ends_open(&ends, 4096);
	two_ends_connect(&ends, NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	two_ends_close(&ends);
	return 0;
}

static struct rs_stats stats_of(const struct rs_state *state)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_stats_get(state, &stats), 0);
	return stats;
}

/* ---- what goes well ------------------------------------------------------------------------ */

#define SOURCE_JOURNAL "setup active pass1 pass2 device stop pass3 save completed "
#define DESTINATION_JOURNAL "setup active load:dev resume completed "

static void check_success(void)
{
	assert_int_equal(ends.source.result, 0);
	assert_int_equal(ends.destination.result, 0);
	assert_string_equal(ends.source.vm.journal, SOURCE_JOURNAL);
	assert_string_equal(ends.destination.vm.journal, DESTINATION_JOURNAL);
	assert_true(two_ends_equal(&ends));
	assert_int_equal(rs_migrate_status(ends.source.state), RS_STATUS_COMPLETED);
	assert_int_equal(rs_migrate_status(ends.destination.state), RS_STATUS_COMPLETED);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(ends.destination.vm.loaded[i], i * 7 + 1);
	assert_int_equal(ends.destination.vm.device_version, 3);
}

static void native_and_two_way(void **state)
{
	(void)state;
	two_ends_migrate(&ends);
	check_success();
}

static void native_and_one_way(void **state)
{
	(void)state;
	two_ends_connect_one_way(&ends, NULL);
	two_ends_migrate(&ends);
	check_success();
}

static void in_qemus_form(void **state)
{
	(void)state;
	for (int two_way = 0; two_way < 2; two_way++) {
		if (two_way)
			two_ends_connect(&ends, NULL, NULL);
		else
			two_ends_connect_one_way(&ends, NULL);
		assert_int_equal(rs_param_set(ends.source.state, "machine", "pc-i440fx-7.2"), 0);
		two_ends_migrate(&ends);
		check_success();
	}
}

static void with_pages_of_any_size(void **state)
{
	static const uint32_t sizes[] = { 1024, 2048, 8192, 16384, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		two_ends_close(&ends);
		two_ends_open(&ends, sizes[i]);
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		check_success();
		assert_int_equal(stats_of(ends.source.state).page_size, sizes[i]);
	}
}

static void over_a_bad_connection(void **state)
{
	const struct fake_options bad = { .seed = 77, .max_bytes = 5000, .capacity = 3000 };

	(void)state;
	two_ends_connect(&ends, &bad, &bad);
	two_ends_migrate(&ends);
	check_success();
}

/* Back and forth, as often as one likes, with the same states. */
static void again_and_back(void **state)
{
	struct rs_stream *stream;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct end back;

		memset(ends.source.memory[0] + 4096, (int)i + 100, 4096);
		memset(ends.source.memory[1], 0, 4096);
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		check_success();
		back = ends.source;
		ends.source = ends.destination;
		ends.destination = back;
	}
	stream = ends.source.stream;
	assert_null(stream);
}

/* ---- statistics ---------------------------------------------------------------------------- */

static void counters_agree(void **state)
{
	uint64_t total = 2ull * TWO_ENDS_PAGES * 4096;
	struct rs_stats out, in;

	(void)state;
	two_ends_migrate(&ends);
	check_success();
	out = stats_of(ends.source.state);
	in = stats_of(ends.destination.state);
	assert_int_equal(out.total, total);
	assert_int_equal(out.remaining, 0);
	/* A stopped guest: set-up, pending, completion, as in QEMU. */
	assert_int_equal(out.dirty_sync_count, 3);
	/* Half of the pages have content, the others are zero, half of these never populated. */
	assert_int_equal(out.normal, TWO_ENDS_PAGES);
	assert_int_equal(out.duplicate, TWO_ENDS_PAGES);
	assert_int_equal(out.normal_bytes, out.normal * 4096);
	assert_true(out.transferred > out.normal_bytes);
	assert_true(out.wire_bytes > out.transferred);
	assert_true(out.downtime_ns > 0);
	assert_true(out.total_time_ms >= out.downtime_ms);
	assert_true(out.mbps > 0);
	assert_int_equal(out.expected_downtime_ms, 300);

	assert_int_equal(in.total, total);
	assert_int_equal(in.normal, out.normal);
	assert_int_equal(in.duplicate, out.duplicate);
	assert_int_equal(in.transferred, out.transferred);
	assert_int_equal(in.remaining, 0);
	assert_int_equal(in.downtime_ns, 0);
	/* The end mark that the source puts after RUNNING is for whoever records the stream. */
	assert_int_equal(in.wire_bytes + 1, out.wire_bytes);
}

#define PAUSE_NS 3000000u

/* Every callback of the downtime takes its time: each must be in the part that is named for it. */
static void take_time(struct journal_vm *vm, const char *word)
{
	static const char *const slow[] = { "stop", "save", "resume" };
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	(void)vm;
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++)
		if (strcmp(word, slow[i]) == 0)
			nanosleep(&pause, NULL);
}

static void the_parts_of_the_downtime(void **state)
{
	struct rs_stats out, in;

	(void)state;
	ends.source.vm.hook = ends.destination.vm.hook = take_time;
	two_ends_migrate(&ends);
	check_success();
	out = stats_of(ends.source.state);
	in = stats_of(ends.destination.state);
	assert_true(out.stop_ns >= PAUSE_NS);
	assert_true(out.device_ns >= PAUSE_NS);
	assert_true(in.resume_ns >= PAUSE_NS);
	assert_true(out.handover_ns >= in.resume_ns);
	assert_true(out.final_sync_ns > 0 && out.last_ram_ns > 0 && out.dirty_log_ns > 0);
	assert_true(out.stop_ns + out.final_sync_ns + out.last_ram_ns + out.device_ns +
			out.handover_ns <=
		    out.downtime_ns);
	assert_int_equal(out.resume_ns, 0);
	assert_int_equal(in.stop_ns + in.final_sync_ns + in.last_ram_ns + in.device_ns +
			     in.handover_ns + in.dirty_log_ns,
			 0);
}

static void a_structure_of_another_version(void **state)
{
	struct rs_stats stats;

	(void)state;
	two_ends_migrate(&ends);
	memset(&stats, 0xff, sizeof(stats));
	stats.size = offsetof(struct rs_stats, remaining);
	assert_int_equal(rs_stats_get(ends.source.state, &stats), 0);
	assert_int_equal(stats.transferred, stats_of(ends.source.state).transferred);
	assert_int_equal(stats.remaining, UINT64_MAX);
	stats.size = 0;
	assert_int_equal(rs_stats_get(ends.source.state, &stats), -EINVAL);
}

/* ---- callbacks that fail ------------------------------------------------------------------- */

static void callbacks_that_fail(void **state)
{
	static const struct {
		const char *what;
		size_t code; /* offset in struct two_ends */
		int source_result;
		const char *source_journal;
		const char *source_text;
		int destination_result; /* 0: any, the stream just ends */
		const char *destination_journal;
		const char *destination_text;
	} cases[] = {
		{ "stop", offsetof(struct two_ends, source.vm.stop_code), -ENOLCK,
		  "setup active pass1 pass2 device stop go-on failed ",
		  "the VMM failed to stop the guest", 0, "setup active failed ", "" },
		{ "save", offsetof(struct two_ends, source.vm.save_code), -ENOLCK,
		  "setup active pass1 pass2 device stop pass3 save go-on failed ",
		  "the VMM failed to save its device state", 0, "setup active ", "" },
		{ "load", offsetof(struct two_ends, destination.vm.load_code), -EREMOTEIO,
		  "setup active pass1 pass2 device stop pass3 save go-on failed ",
		  "the destination failed: device section dev, instance 0, version 3: the VMM "
		  "failed "
		  "to load it",
		  -ENOLCK, "setup active load:dev failed ",
		  "device section dev, instance 0, version 3: the VMM failed to load it" },
		{ "resume there", offsetof(struct two_ends, destination.vm.resume_code), -EREMOTEIO,
		  "setup active pass1 pass2 device stop pass3 save go-on failed ",
		  "the destination failed: the VMM failed to resume the guest", -ENOLCK,
		  "setup active load:dev resume failed ", "the VMM failed to resume the guest" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int *code = (int *)(void *)((char *)&ends + cases[i].code);

		print_message("%s\n", cases[i].what);
		*code = -ENOLCK;
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		*code = 0;
		assert_int_equal(ends.source.result, cases[i].source_result);
		assert_string_equal(ends.source.vm.journal, cases[i].source_journal);
		assert_string_equal(end_error(&ends.source), cases[i].source_text);
		assert_string_equal(ends.source.vm.failure, cases[i].source_text);
		assert_true(ends.destination.result < 0);
		if (cases[i].destination_result != 0)
			assert_int_equal(ends.destination.result, cases[i].destination_result);
		assert_int_equal(strncmp(ends.destination.vm.journal, cases[i].destination_journal,
					 strlen(cases[i].destination_journal)),
				 0);
		assert_non_null(strstr(end_error(&ends.destination), cases[i].destination_text));
		/* Nothing is broken: the next one succeeds. */
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		check_success();
	}
}

static void give_a_reason(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, vm->hook_opaque) == 0)
		assert_int_equal(rs_migrate_fail(vm->state, -ENOLCK, "key %d does not fit", 3),
				 -ENOLCK);
}

/* The reason is the migration's error at the end that failed, and the source hears of it. */
static void callbacks_that_say_why(void **state)
{
	static const struct {
		const char *word;
		size_t vm, code; /* offsets in struct two_ends */
		const char *source_text;
	} cases[] = {
		{ "stop", offsetof(struct two_ends, source.vm),
		  offsetof(struct two_ends, source.vm.stop_code), "key 3 does not fit" },
		{ "save", offsetof(struct two_ends, source.vm),
		  offsetof(struct two_ends, source.vm.save_code), "key 3 does not fit" },
		{ "load:dev", offsetof(struct two_ends, destination.vm),
		  offsetof(struct two_ends, destination.vm.load_code),
		  "the destination failed: key 3 does not fit" },
		{ "resume", offsetof(struct two_ends, destination.vm),
		  offsetof(struct two_ends, destination.vm.resume_code),
		  "the destination failed: key 3 does not fit" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct journal_vm *vm = (void *)((char *)&ends + cases[i].vm);
		int *code = (void *)((char *)&ends + cases[i].code);

		print_message("%s\n", cases[i].word);
		*code = -ENOLCK;
		two_ends_connect(&ends, NULL, NULL);
		vm->hook = give_a_reason;
		vm->hook_opaque = (void *)(uintptr_t)cases[i].word;
		two_ends_migrate(&ends);
		*code = 0;
		vm->hook = NULL;
		assert_string_equal(end_error(&ends.source), cases[i].source_text);
		assert_non_null(
		    strstr(plain_error_text(vm->state, RS_ERROR_OF_MIGRATION), "key 3"));
	}
	/* Outside of a callback it is not kept. */
	two_ends_connect(&ends, NULL, NULL);
	two_ends_migrate(&ends);
	assert_int_equal(rs_migrate_fail(ends.source.state, -EIO, "too late"), -EIO);
	assert_string_equal(end_error(&ends.source), "");
	check_success();
}

/* A device that fails to be saved is a failure even if the VMM forgets to say so. */
static void a_device_with_a_bad_name(void **state)
{
	static char long_name[257];
	static const char *const bad_names[] = { "", "ram", long_name };

	(void)state;
	memset(long_name, 'n', 256);
	for (size_t i = 0; i < 3; i++) {
		ends.source.vm.device = bad_names[i];
		ends.source.vm.forgets_save_result = true;
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		assert_int_equal(ends.source.result, -EINVAL);
		assert_non_null(strstr(end_error(&ends.source), "device section"));
		assert_true(ends.destination.result < 0);
	}
}

static void a_device_that_is_too_large(void **state)
{
	(void)state;
	ends.source.vm.device_bytes = 4097;
	ends.destination.vm.device_bytes = 4097;
	assert_int_equal(rs_param_set(ends.source.state, "max-device-state", "4096"), 0);
	two_ends_migrate(&ends);
	assert_int_equal(ends.source.result, -E2BIG);
	assert_non_null(strstr(end_error(&ends.source), "device section dev: 4097 bytes"));

	/* And at the destination, whose limit is its own. */
	assert_int_equal(rs_param_set(ends.source.state, "max-device-state", "1M"), 0);
	assert_int_equal(rs_param_set(ends.destination.state, "max-device-state", "4096"), 0);
	two_ends_connect(&ends, NULL, NULL);
	two_ends_migrate(&ends);
	assert_int_equal(ends.destination.result, -E2BIG);
	assert_int_equal(ends.source.result, -EREMOTEIO);
	assert_non_null(strstr(end_error(&ends.source), "max-device-state"));

	assert_int_equal(rs_param_set(ends.destination.state, "max-device-state", "4097"), 0);
	two_ends_connect(&ends, NULL, NULL);
	two_ends_migrate(&ends);
	check_success();
}

/* In native mode a body has a length, and it is to be read to its end, no further. */
static void a_device_that_reads_another_length(void **state)
{
	static const struct {
		size_t bytes;
		int result;
	} cases[] = { { 4, -EINVAL }, { 6, -ENODATA }, { 0, -EINVAL } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ends.destination.vm.device_bytes = cases[i].bytes;
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		assert_int_equal(ends.destination.result, cases[i].result);
		assert_int_equal(ends.source.result, -EREMOTEIO);
	}
}

/* ---- completion ---------------------------------------------------------------------------- */

struct dirtier {
	unsigned syncs;
	unsigned dirty_until; /* every page is written before each sync up to this one */
	uint64_t pages_seen_at_stop;
	struct rs_state *state;
};

static void mark_all(struct journal_vm *vm, const char *word)
{
	struct dirtier *dirtier = vm->hook_opaque;
	struct rs_stats stats = stats_of(vm->state);

	if (strncmp(word, "pass", 4) == 0 && ++dirtier->syncs <= dirtier->dirty_until)
		rs_dirty_mark(ends.source.regions[0], 0, TWO_ENDS_PAGES * 4096);
	if (strcmp(word, "device") == 0)
		dirtier->pages_seen_at_stop = stats.remaining / 4096;
}

/* Limit 0: the guest is stopped once a sync has found nothing dirty, and not before. */
static void with_a_downtime_limit_of_nothing(void **state)
{
	struct dirtier dirtier = { .dirty_until = 10 };

	(void)state;
	ends.source.vm.hook = mark_all;
	ends.source.vm.hook_opaque = &dirtier;
	assert_int_equal(rs_param_set(ends.source.state, "downtime-limit", "0"), 0);
	two_ends_migrate(&ends);
	assert_int_equal(ends.source.result, 0);
	assert_int_equal(ends.destination.result, 0);
	assert_int_equal(dirtier.pages_seen_at_stop, 0);
	/* Marks after passes 1 to 10 are found by syncs 2 to 11; the twelfth finds none, and the
	 * thirteenth is the last. */
	assert_int_equal(dirtier.syncs, 13);
	assert_true(two_ends_equal(&ends));
}

static void raise_limit(struct journal_vm *vm, const char *word)
{
	struct dirtier *dirtier = vm->hook_opaque;

	mark_all(vm, word);
	if (strncmp(word, "pass", 4) == 0 && dirtier->syncs == 20)
		assert_int_equal(rs_param_set(vm->state, "downtime-limit", "2000000"), 0);
}

/* A guest that never rests: the limit decides, and may be raised while it runs. It takes a window
 * of 100 ms before anything is known of the bandwidth. */
static void the_limit_is_raised_meanwhile(void **state)
{
	struct dirtier dirtier = { .dirty_until = UINT32_MAX };
	const struct fake_options slow = { .write_delay_us = 2000 };

	(void)state;
	ends.source.vm.hook = raise_limit;
	ends.source.vm.hook_opaque = &dirtier;
	assert_int_equal(rs_param_set(ends.source.state, "downtime-limit", "0"), 0);
	two_ends_connect(&ends, &slow, NULL);
	two_ends_migrate(&ends);
	assert_int_equal(ends.source.result, 0);
	assert_int_equal(ends.destination.result, 0);
	assert_true(dirtier.syncs > 20);
	assert_int_equal(dirtier.pages_seen_at_stop, TWO_ENDS_PAGES);
	assert_true(two_ends_equal(&ends));
}

/* ---- max-bandwidth ------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* 256 KiB of content at 512 KiB/s cannot take less than some 400 ms. */
static void the_bandwidth_is_limited(void **state)
{
	uint64_t began = now_ms();

	(void)state;
	assert_int_equal(rs_param_set(ends.source.state, "max-bandwidth", "512k"), 0);
	assert_int_equal(rs_param_set(ends.source.state, "downtime-limit", "0"), 0);
	two_ends_migrate(&ends);
	check_success();
	assert_true(now_ms() - began >= 300);
}

static void lift_the_limit(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "pass1") == 0)
		assert_int_equal(rs_param_set(vm->state, "max-bandwidth", "0"), 0);
}

static void *lift_the_limit_later(void *state)
{
	usleep(150000);
	assert_int_equal(rs_param_set(state, "max-bandwidth", "0"), 0);
	return NULL;
}

/* At 1 KiB/s it would take minutes. */
static void the_limit_is_lifted_meanwhile(void **state)
{
	pthread_t thread;

	(void)state;
	ends.source.vm.hook = lift_the_limit;
	assert_int_equal(rs_param_set(ends.source.state, "max-bandwidth", "1k"), 0);
	two_ends_migrate(&ends);
	check_success();

	ends.source.vm.hook = NULL;
	assert_int_equal(rs_param_set(ends.source.state, "max-bandwidth", "1k"), 0);
	two_ends_connect(&ends, NULL, NULL);
	assert_int_equal(pthread_create(&thread, NULL, lift_the_limit_later, ends.source.state), 0);
	two_ends_migrate(&ends);
	pthread_join(thread, NULL);
	assert_int_equal(ends.source.result, 0);
	assert_true(two_ends_equal(&ends));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(native_and_two_way),
		TEST(native_and_one_way),
		TEST(in_qemus_form),
		TEST(with_pages_of_any_size),
		TEST(over_a_bad_connection),
		TEST(again_and_back),
		TEST(counters_agree),
		TEST(the_parts_of_the_downtime),
		TEST(a_structure_of_another_version),
		TEST(callbacks_that_fail),
		TEST(callbacks_that_say_why),
		TEST(a_device_with_a_bad_name),
		TEST(a_device_that_is_too_large),
		TEST(a_device_that_reads_another_length),
		TEST(with_a_downtime_limit_of_nothing),
		TEST(the_limit_is_raised_meanwhile),
		TEST(the_bandwidth_is_limited),
		TEST(the_limit_is_lifted_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
