/* SPDX-License-Identifier: MIT */
#include "ram/region.h"

#include "support/plain_region.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE 4096ull
#define MEMORY (16 * PAGE)

static uint8_t *memory;

static int setup(void **state)
{
	memory = plain_memory_map(MEMORY);
	*state = plain_state(4096);
	return 0;
}

static int teardown(void **state)
{
	rs_state_destroy(*state);
	plain_memory_unmap(memory, MEMORY);
	return 0;
}

static struct rs_region_config good_config(void)
{
	return (struct rs_region_config){ .size = sizeof(struct rs_region_config),
					  .name = "r",
					  .host = memory,
					  .used_bytes = MEMORY };
}

/* ---- adding -------------------------------------------------------------------------------- */

static void a_description_is_kept(void **state)
{
	struct rs_region_config config = good_config();
	struct rs_region *region = NULL;
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	config.fd = fd;
	config.flags = RS_REGION_HAS_FD | RS_REGION_SHARED | RS_REGION_RESIZABLE;
	config.used_bytes = 2 * PAGE;
	config.max_bytes = 4 * PAGE;
	assert_int_equal(rs_region_add(*state, &config, &region), 0);
	assert_string_equal(rs_region_name(region), "r");
	assert_ptr_equal(rs_region_state(region), *state);
	assert_ptr_equal(rs_region_host(region), memory);
	assert_int_equal(rs_region_used_bytes(region), 2 * PAGE);
	assert_int_equal(rs_region_max_bytes(region), 4 * PAGE);
	assert_int_equal(rs_region_host_page_bytes(region), sysconf(_SC_PAGESIZE));
	assert_int_equal(rs_region_flags(region), config.flags);
	assert_int_equal(rs_region_fd(region), fd);
	close(fd);
}

static void what_is_left_out_has_a_default(void **state)
{
	struct rs_region_config config = good_config();
	struct rs_region *region;

	config.fd = 5; /* means nothing without its flag */
	assert_int_equal(rs_region_add(*state, &config, &region), 0);
	assert_int_equal(rs_region_max_bytes(region), MEMORY);
	assert_int_equal(rs_region_fd(region), -1);
	assert_int_equal(rs_region_flags(region), 0);
	/* The result need not be asked for. */
	config.name = "s";
	assert_int_equal(rs_region_add(*state, &config, NULL), 0);
	assert_non_null(rs_region_find(*state, "s"));
}

static void bad_descriptions(void **state)
{
	static char long_name[RS_REGION_NAME_BYTES + 1];
	struct rs_region_config cases[24];
	size_t count = 0;

	memset(long_name, 'n', RS_REGION_NAME_BYTES);
#define BAD(field, value)                                                                          \
	do {                                                                                       \
		cases[count] = good_config();                                                      \
		cases[count++].field = (value);                                                    \
	} while (0)
	BAD(name, NULL);
	BAD(name, "");
	BAD(name, long_name);
	BAD(host, NULL);
	BAD(host, memory + 1);
	BAD(host, memory + 2048);
	BAD(used_bytes, 0);
	BAD(used_bytes, PAGE + 1);
	BAD(used_bytes, PAGE / 2);
	BAD(used_bytes, UINT64_MAX - PAGE + 1);
	BAD(max_bytes, PAGE);
	BAD(max_bytes, MEMORY + 1);
	BAD(max_bytes, UINT64_MAX - PAGE + 1);
	BAD(host_page_bytes, 3 * PAGE);
	BAD(host_page_bytes, 1);
	BAD(host_page_bytes, PAGE + 1);
	BAD(flags, 1u << 31);
	BAD(flags, 1u << 6);
	cases[count] = good_config();
	cases[count].flags = RS_REGION_HAS_FD;
	cases[count++].fd = -1;
	/* Not at a border of its huge pages. */
	cases[count] = good_config();
	cases[count].host_page_bytes = 1u << 30;
	cases[count].host = (void *)((1ull << 40) + PAGE);
	count++;
	assert_true(count <= sizeof(cases) / sizeof(cases[0]));

	for (size_t i = 0; i < count; i++) {
		struct rs_region *region = (void *)1;
		struct rs_error error;

		rs_state_refuse(*state, -1, "no text yet");
		print_message("case %zu\n", i);
		assert_int_equal(rs_region_add(*state, &cases[i], &region), -EINVAL);
		assert_ptr_equal(region, (void *)1);
		assert_int_equal(rs_error_get(*state, RS_ERROR_OF_CALL, &error), -EINVAL);
		if (i > 2)
			assert_non_null(strstr(error.text, "region r"));
	}
	assert_null(rs_region_find(*state, "r"));
}

static void fields_of_a_later_version(void **state)
{
	struct {
		struct rs_region_config config;
		uint64_t tail;
	} later = { .config = good_config() };

	later.config.size = sizeof(later);
	later.tail = 1;
	assert_int_equal(rs_region_add(*state, &later.config, NULL), -EINVAL);
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_CALL), "rs_region_config"));
	later.tail = 0;
	assert_int_equal(rs_region_add(*state, &later.config, NULL), 0);
}

static void names_are_unique(void **state)
{
	struct rs_region *region = plain_region_add(*state, "r", memory, MEMORY, 0), *other = NULL;
	struct rs_region_config config = good_config();

	assert_int_equal(rs_region_add(*state, &config, &other), -EEXIST);
	assert_null(other);
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_CALL), "region r"));
	assert_ptr_equal(rs_region_find(*state, "r"), region);
	/* Free again once it is removed; and another state has names of its own. */
	assert_int_equal(rs_region_remove(region), 0);
	assert_int_equal(rs_region_add(*state, &config, &other), 0);

	struct rs_state *second = plain_state(4096);

	assert_int_equal(rs_region_add(second, &config, NULL), 0);
	rs_state_destroy(second);
}

static void names_of_any_length(void **state)
{
	char name[RS_REGION_NAME_BYTES] = "";
	struct rs_region *region;

	for (size_t i = 0; i < RS_REGION_NAME_BYTES - 1; i++) {
		name[i] = 'x';
		plain_region_add(*state, name, memory, PAGE, 0);
	}
	for (size_t i = RS_REGION_NAME_BYTES - 1; i > 0; i--) {
		name[i] = '\0';
		region = rs_region_find(*state, name);
		assert_non_null(region);
		assert_string_equal(rs_region_name(region), name);
	}
	assert_null(rs_region_find(*state, ""));
}

/* ---- during a session ---------------------------------------------------------------------- */

static void changes_end_a_session(void **state)
{
	struct rs_region_config config = good_config();
	struct rs_region *region;

	rs_session_open(*state);
	assert_int_equal(rs_region_add(*state, &config, &region), 0);
	assert_int_equal(rs_session_code(*state), -ESTALE);
	assert_string_equal(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
			    "region r was added during the migration");
	rs_session_close(*state);

	rs_session_open(*state);
	assert_int_equal(rs_region_resize(region, MEMORY), 0);
	assert_int_equal(rs_session_code(*state), 0);
	assert_int_equal(rs_region_resize(region, PAGE), 0);
	assert_string_equal(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
			    "region r was resized during the migration");
	assert_int_equal(rs_region_used_bytes(region), PAGE);
	rs_session_close(*state);

	rs_session_open(*state);
	assert_int_equal(rs_region_remove(region), 0);
	assert_string_equal(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
			    "region r was removed during the migration");
	rs_session_close(*state);

	/* Once all RAM is out they are nobody's business. */
	rs_session_open(*state);
	rs_session_ignore_regions(*state);
	assert_int_equal(rs_region_add(*state, &config, &region), 0);
	assert_int_equal(rs_region_resize(region, PAGE), 0);
	assert_int_equal(rs_region_remove(region), 0);
	assert_int_equal(rs_session_code(*state), 0);
	rs_session_close(*state);
}

static void the_worker_cannot_remove(void **state)
{
	struct rs_region *region = plain_region_add(*state, "r", memory, PAGE, 0);

	rs_session_open(*state);
	rs_session_attach(*state, NULL);
	assert_int_equal(rs_region_remove(region), -EDEADLK);
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_CALL), "region r"));
	assert_int_equal(rs_session_code(*state), 0);
	rs_session_detach(*state);
	rs_session_close(*state);
	assert_ptr_equal(rs_region_find(*state, "r"), region);
}

static void lengths(void **state)
{
	static const struct {
		uint64_t bytes;
		int result;
	} cases[] = {
		{ PAGE, 0 },           { 3 * PAGE, 0 },         { 8 * PAGE, 0 },
		{ 0, -EINVAL },        { PAGE + 1, -EINVAL },   { PAGE - 1, -EINVAL },
		{ 9 * PAGE, -EINVAL }, { UINT64_MAX, -EINVAL }, { -PAGE, -EINVAL },
	};
	struct rs_region_config config = good_config();
	struct rs_region *region;

	config.used_bytes = 2 * PAGE;
	config.max_bytes = 8 * PAGE;
	assert_int_equal(rs_region_add(*state, &config, &region), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = rs_region_used_bytes(region);

		assert_int_equal(rs_region_resize(region, cases[i].bytes), cases[i].result);
		assert_int_equal(rs_region_used_bytes(region),
				 cases[i].result == 0 ? cases[i].bytes : before);
	}
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_CALL), "region r"));
}

/* ---- dirty logs ---------------------------------------------------------------------------- */

static int log_start(void *opaque, struct rs_region *region, void **cookie, struct rs_error *error)
{
	(void)opaque, (void)region, (void)cookie, (void)error;
	return 0;
}

static int log_sync(void *opaque, struct rs_region *region, void *cookie,
		    struct rs_dirty_sink *sink, struct rs_error *error)
{
	(void)opaque, (void)region, (void)cookie, (void)sink, (void)error;
	return 0;
}

static void log_stop(void *opaque, struct rs_region *region, void *cookie)
{
	(void)opaque, (void)region, (void)cookie;
}

static void logs_that_lack_something(void **state)
{
	const struct rs_dirty_log_ops good = {
		.size = sizeof(good), .start = log_start, .sync = log_sync, .stop = log_stop
	};
	struct rs_region *region = plain_region_add(*state, "r", memory, PAGE, 0);
	struct rs_dirty_log_ops ops = good;

	assert_int_equal(rs_region_add_dirty_log(region, &good, NULL), 0);
	ops.start = NULL;
	assert_int_equal(rs_region_add_dirty_log(region, &ops, NULL), -EINVAL);
	ops = good;
	ops.sync = NULL;
	assert_int_equal(rs_region_add_dirty_log(region, &ops, NULL), -EINVAL);
	ops = good;
	ops.stop = NULL;
	assert_int_equal(rs_region_add_dirty_log(region, &ops, NULL), -EINVAL);
	ops = good;
	ops.size = 0;
	assert_int_equal(rs_region_add_dirty_log(region, &ops, NULL), -EINVAL);
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_CALL), "region r"));
}

/* ---- marks --------------------------------------------------------------------------------- */

static void log_release(void *opaque, struct rs_region *region)
{
	unsigned *released = opaque;

	assert_string_equal(rs_region_name(region), "r");
	/* It is not among the state's any more. */
	assert_null(rs_region_find(rs_region_state(region), "r"));
	++*released;
}

/* Once, by whoever takes the region away. */
static void logs_hear_of_the_end(void **state)
{
	const struct rs_dirty_log_ops ops = { .size = sizeof(ops),
					      .start = log_start,
					      .sync = log_sync,
					      .stop = log_stop,
					      .release = log_release };
	struct rs_region *region = plain_region_add(*state, "r", memory, PAGE, 0);
	unsigned released[3] = { 0 };
	struct rs_state *other;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(rs_region_add_dirty_log(region, &ops, &released[i]), 0);
	assert_int_equal(rs_region_remove(region), 0);
	assert_int_equal(released[0], 1);
	assert_int_equal(released[1], 1);
	assert_int_equal(rs_state_create(NULL, &other), 0);
	region = plain_region_add(other, "r", memory, PAGE, 0);
	assert_int_equal(rs_region_add_dirty_log(region, &ops, &released[2]), 0);
	rs_state_destroy(other);
	assert_int_equal(released[2], 1);
}

static void stalls_are_added_up(void **state)
{
	struct rs_region *region = plain_region_add(*state, "r", memory, PAGE, 0);
	struct rs_stats stats = { .size = sizeof(stats) };

	rs_dirty_report_stall(region, 5);
	rs_dirty_report_stall(region, 1000000000000);
	assert_int_equal(rs_stats_get(*state, &stats), 0);
	assert_int_equal(stats.guest_stall_ns, 1000000000005);
}

static void fresh_again(void **state)
{
	struct rs_region *region = plain_region_add(*state, "r", memory, PAGE, 0);

	assert_false(rs_region_flags(region) & RS_REGION_FRESH);
	assert_int_equal(rs_region_set_fresh(region), 0);
	assert_true(rs_region_flags(region) & RS_REGION_FRESH);
	(*(struct rs_state **)state)->phase = RS_PHASE_MIGRATING;
	assert_int_equal(rs_region_set_fresh(region), -EBUSY);
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_CALL), "region r"));
	(*(struct rs_state **)state)->phase = RS_PHASE_IDLE;
}

static void marks_are_cut_to_the_region(void **state)
{
	static const struct {
		uint64_t offset, bytes;
		uint64_t expected; /* a bit for each of 4 pages */
	} cases[] = {
		{ 0, 1, 0x1 },
		{ PAGE - 1, 1, 0x1 },
		{ PAGE - 1, 2, 0x3 },
		{ PAGE, PAGE, 0x2 },
		{ 0, 4 * PAGE, 0xf },
		{ PAGE + 5, UINT64_MAX, 0xe },
		{ 4 * PAGE - 1, 1, 0x8 },
		{ 4 * PAGE, 1, 0 },
		{ UINT64_MAX, 1, 0 },
		{ UINT64_MAX, UINT64_MAX, 0 },
		{ PAGE, 0, 0 },
	};
	struct rs_region_config config = good_config();
	struct rs_bitmap bits;
	struct rs_region *region;

	config.used_bytes = 4 * PAGE;
	config.max_bytes = 8 * PAGE;
	assert_int_equal(rs_region_add(*state, &config, &region), 0);
	assert_int_equal(rs_bitmap_init(&bits, 8), 0);
	/* Nobody listens yet. */
	rs_dirty_mark(region, 0, MEMORY);
	rs_marks_start(&region->marks);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rs_bitmap_reset(&bits);
		rs_dirty_mark(region, cases[i].offset, cases[i].bytes);
		rs_marks_harvest(&region->marks, &bits);
		assert_int_equal(bits.words[0], cases[i].expected);
	}
	rs_bitmap_fini(&bits);
}

/* ---- what it costs ------------------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
	unsigned long long size, resident;
	FILE *file = fopen("/proc/self/statm", "re");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%llu %llu", &size, &resident), 2);
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void a_tebibyte_costs_nothing_yet(void **state)
{
	uint64_t bytes = 1ull << 40;
	void *huge = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (huge == MAP_FAILED) {
		print_message("no address space for 1 TiB here\n");
		skip();
	}
	uint64_t before = resident_bytes();
	struct rs_region *region = plain_region_add(*state, "huge", huge, bytes, RS_REGION_FRESH);

	rs_dirty_mark(region, 0, bytes);
	assert_true(resident_bytes() < before + (1u << 20));
	assert_int_equal(rs_region_remove(region), 0);
	munmap(huge, bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_description_is_kept),
		TEST(what_is_left_out_has_a_default),
		TEST(bad_descriptions),
		TEST(fields_of_a_later_version),
		TEST(names_are_unique),
		TEST(names_of_any_length),
		TEST(changes_end_a_session),
		TEST(the_worker_cannot_remove),
		TEST(lengths),
		TEST(logs_that_lack_something),
		TEST(logs_hear_of_the_end),
		TEST(stalls_are_added_up),
		TEST(fresh_again),
		TEST(marks_are_cut_to_the_region),
		TEST(a_tebibyte_costs_nothing_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
