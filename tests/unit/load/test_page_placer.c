/* SPDX-License-Identifier: MIT */
/* Where pages are put, and above all which memory is left alone. */
#include "load/load.h"

#include "support/assemble.h"
#include "support/loading.h"
#include "support/plain_region.h"
#include "support/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 2048u
#define BYTES (PAGES * PAGE)

enum kind { PRIVATE, MEMFD, KINDS };

static const char *const kind_names[KINDS] = { "private", "memfd" };

static struct rs_state *the_state;
static struct rs_region *region;
static struct rs_stream *stream;
static uint8_t *memory;
static int fd;

static void open_all(enum kind kind, uint32_t flags)
{
	struct rs_region_config config = { .size = sizeof(config), .name = "r" };

	fd = -1;
	if (kind == MEMFD) {
		fd = memfd_create("guest", MFD_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, BYTES), 0);
		memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(memory, MAP_FAILED);
		flags |= RS_REGION_HAS_FD | RS_REGION_SHARED;
	} else {
		memory = plain_memory_map(BYTES);
	}
	/* Huge pages would fill the holes. */
	madvise(memory, BYTES, MADV_NOHUGEPAGE);
	the_state = plain_state(PAGE);
	config.host = memory;
	config.used_bytes = BYTES;
	config.fd = fd;
	config.flags = flags;
	assert_int_equal(rs_region_add(the_state, &config, &region), 0);
	stream = NULL;
}

static void close_all(void)
{
	rs_state_destroy(the_state);
	plain_memory_unmap(memory, BYTES);
	if (fd >= 0)
		close(fd);
}

static uint64_t private_pages(void)
{
	FILE *file = fopen("/proc/self/pagemap", "re");
	uint64_t entry, populated = 0;

	assert_non_null(file);
	assert_int_equal(fseek(file, (long)((uintptr_t)memory / PAGE * 8), SEEK_SET), 0);
	for (unsigned i = 0; i < PAGES; i++) {
		assert_int_equal(fread(&entry, sizeof(entry), 1, file), 1);
		populated += entry >> 62 != 0;
	}
	fclose(file);
	return populated;
}

/* Pages that take memory. */
static uint64_t populated_pages(void)
{
	struct stat status;

	if (fd < 0)
		return private_pages();
	assert_int_equal(fstat(fd, &status), 0);
	return (uint64_t)status.st_blocks * 512 / PAGE;
}

static void load(const char *text)
{
	size_t room = 64u << 20;
	uint8_t *data = malloc(room);
	size_t bytes;

	assert_non_null(data);
	bytes = assemble(data, room, "64:800004 s:r 64:800000");
	bytes += assemble(data + bytes, room - bytes, text);
	bytes += assemble(data + bytes, room - bytes, "64:10");
	stream = loading_begin(the_state, data, bytes, NULL, NULL);
	rs_ram_load_allow_runs(the_state);
	assert_int_equal(rs_ram_load(the_state, stream, 4), 0);
	loading_end(the_state, &stream);
	free(data);
}

static void check_pages(unsigned first, unsigned count, uint8_t byte)
{
	for (uint64_t i = (uint64_t)first * PAGE; i < (uint64_t)(first + count) * PAGE; i++)
		if (memory[i] != byte)
			fail_msg("byte %llu of page %llu is 0x%02x", (unsigned long long)i % PAGE,
				 (unsigned long long)i / PAGE, memory[i]);
}

static bool host_pages_fit(void)
{
	if (sysconf(_SC_PAGESIZE) == PAGE)
		return true;
	print_message("written for host pages of 4 KiB\n");
	return false;
}

#define ALL_ZERO "64:0006 s:r 64:800000 "

/* ---- what stays a hole --------------------------------------------------------------------- */

static void zero_pages_on_holes(void **state)
{
	(void)state;
	if (!host_pages_fit())
		skip();
	for (enum kind kind = PRIVATE; kind < KINDS; kind++)
		for (int fresh = 0; fresh < 2; fresh++) {
			print_message("%s, %sfresh\n", kind_names[kind], fresh ? "" : "not ");
			open_all(kind, fresh ? RS_REGION_FRESH : 0);
			load(ALL_ZERO);
			assert_int_equal(populated_pages(), 0);
			/* One by one, as QEMU sends them, and more than once. */
			load("64:5002 s:r 8:0 64:7fd022 8:0 64:5022 8:0");
			assert_int_equal(populated_pages(), 0);
			check_pages(0, PAGES, 0);
			close_all();
		}
}

/* Among holes, garbage is cleared and holes stay. */
static void zero_pages_on_garbage(void **state)
{
	(void)state;
	if (!host_pages_fit())
		skip();
	for (enum kind kind = PRIVATE; kind < KINDS; kind++) {
		uint64_t populated;

		open_all(kind, 0);
		memset(memory + 10 * PAGE, 0xee, 3 * PAGE);
		memory[20 * PAGE + 4095] = 1;
		for (unsigned page = 100; page < PAGES; page += 3)
			memory[page * PAGE + page] = 1;
		populated = populated_pages();
		load(ALL_ZERO);
		assert_int_equal(populated_pages(), populated);
		check_pages(0, PAGES, 0);
		close_all();
	}
}

/* Only the pages that the record names. */
static void zero_pages_beside_garbage(void **state)
{
	(void)state;
	for (enum kind kind = PRIVATE; kind < KINDS; kind++) {
		open_all(kind, 0);
		memset(memory, 0xee, 64 * PAGE);
		load("64:5002 s:r 8:0 64:a026 64:6000 64:3f022 8:0");
		check_pages(0, 5, 0xee);
		check_pages(5, 1, 0);
		check_pages(6, 4, 0xee);
		check_pages(10, 6, 0);
		check_pages(16, 47, 0xee);
		check_pages(63, 1, 0);
		close_all();
	}
}

/* ---- what was written before --------------------------------------------------------------- */

/* A page that had content and became zero, in a fresh region too. */
static void content_then_zero(void **state)
{
	static const char *const texts[] = {
		"64:3008 s:r p:11 64:3022 8:0",
		"64:2008 s:r p:11 64:3028 p:22 64:4028 p:33 64:0026 64:800000",
		"64:0006 s:r 64:800000 64:3028 p:11 64:0026 64:800000",
	};

	(void)state;
	for (enum kind kind = PRIVATE; kind < KINDS; kind++)
		for (int fresh = 0; fresh < 2; fresh++)
			for (size_t i = 0; i < 3; i++) {
				open_all(kind, fresh ? RS_REGION_FRESH : 0);
				load(texts[i]);
				check_pages(0, PAGES, 0);
				close_all();
			}
}

/* The bytes that a delta put among zeros, of which nothing else knows, in a fresh region too. */
static void delta_then_zero(void **state)
{
	static const char *const texts[] = {
		"64:3002 s:r 8:0 64:3060 8:1 16:3 16:0501 8:aa 64:3022 8:0",
		"64:0006 s:r 64:800000 64:3060 8:1 16:4 8:ff 8:1f 16:01aa 64:0026 64:800000",
	};

	(void)state;
	for (enum kind kind = PRIVATE; kind < KINDS; kind++)
		for (int fresh = 0; fresh < 2; fresh++)
			for (size_t i = 0; i < 2; i++) {
				open_all(kind, fresh ? RS_REGION_FRESH : 0);
				load(texts[i]);
				check_pages(0, PAGES, 0);
				close_all();
			}
}

/* The page it changes is the one that takes memory, if its delta changes anything. */
static void deltas_on_holes(void **state)
{
	(void)state;
	if (!host_pages_fit())
		skip();
	for (enum kind kind = PRIVATE; kind < KINDS; kind++) {
		open_all(kind, RS_REGION_FRESH);
		load(ALL_ZERO "64:3060 8:1 16:3 16:0501 8:aa 64:7060 8:1 16:0");
		assert_int_equal(populated_pages(), 1);
		assert_int_equal(memory[3 * PAGE + 5], 0xaa);
		memory[3 * PAGE + 5] = 0;
		check_pages(0, PAGES, 0);
		close_all();
	}
}

/* The flag is about the first load: the second finds what the first one left. */
static void fresh_only_once(void **state)
{
	(void)state;
	for (enum kind kind = PRIVATE; kind < KINDS; kind++) {
		open_all(kind, RS_REGION_FRESH);
		load("64:3008 s:r p:11");
		check_pages(3, 1, 0x11);
		/* The guest ran meanwhile, and wrote. */
		memset(memory + 7 * PAGE, 0x77, PAGE);
		load(ALL_ZERO);
		check_pages(0, PAGES, 0);
		close_all();
	}
}

/* ---- against a model ----------------------------------------------------------------------- */

static void random_text(struct test_random *random, char *text, uint8_t *model)
{
	size_t length = 0;

	for (unsigned i = 0; i < 120; i++) {
		unsigned page = (unsigned)test_random_below(random, PAGES);
		unsigned count = 1 + (unsigned)test_random_below(random, PAGES - page);
		unsigned byte = 1 + (unsigned)test_random_below(random, 255);

		if (test_random_one_in(random, 2)) {
			length += (size_t)sprintf(text + length, "64:%x s:r p:%x ", page * PAGE | 8,
						  byte);
			model[page] = (uint8_t)byte;
			continue;
		}
		if (test_random_one_in(random, 2) && count > 300)
			count = 300;
		length += (size_t)sprintf(text + length, "64:%x s:r 64:%x ", page * PAGE | 6,
					  count * PAGE);
		memset(model + page, 0, count);
	}
}

static void anything_goes(void **state)
{
	static char text[8192];
	static uint8_t model[PAGES];

	(void)state;
	for (uint64_t seed = 0; seed < 12; seed++) {
		struct test_random random = { seed };

		open_all((enum kind)(seed % KINDS), 0);
		memset(model, 0, sizeof(model));
		/* What lies there before: content at every other place, in stretches. */
		for (unsigned page = 0; page < PAGES; page++)
			if (page / 16 % 2 != 0 && !test_random_one_in(&random, 4)) {
				model[page] = 0xee;
				memset(memory + page * PAGE, 0xee, PAGE);
			}
		for (unsigned body = 0; body < 2; body++) {
			random_text(&random, text, model);
			load(text);
			for (unsigned page = 0; page < PAGES; page++)
				check_pages(page, 1, model[page]);
		}
		close_all();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_pages_on_holes),
		cmocka_unit_test(zero_pages_on_garbage),
		cmocka_unit_test(zero_pages_beside_garbage),
		cmocka_unit_test(content_then_zero),
		cmocka_unit_test(delta_then_zero),
		cmocka_unit_test(deltas_on_holes),
		cmocka_unit_test(fresh_only_once),
		cmocka_unit_test(anything_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
