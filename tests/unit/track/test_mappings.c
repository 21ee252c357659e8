/* SPDX-License-Identifier: MIT */
#include "track/mappings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "support/missing_call.h"
#include "support/test_memory.h"

enum { PAGES = 16 };

static size_t page;

static void assert_mapping(const struct rs_mapping *mapping, const unsigned char *start,
			   size_t pages, enum rs_mapping_kind kind)
{
	assert_true(mapping->start == (uintptr_t)start);
	assert_true(mapping->end == (uintptr_t)start + pages * page);
	assert_int_equal(mapping->kind, kind);
}

static void read_all(const struct memory *memory, struct rs_mapping **mappings, size_t *count)
{
	uintptr_t start = (uintptr_t)memory->host;

	assert_int_equal(rs_mappings_read(start, start + memory->bytes, mappings, count), 0);
}

static void kinds_are_told_apart(void **state)
{
	const struct {
		int flags;
		bool file;
		enum rs_mapping_kind kind;
	} table[] = {
		{ MAP_PRIVATE | MAP_ANONYMOUS, false, RS_MAPPING_ANONYMOUS },
		{ MAP_SHARED | MAP_ANONYMOUS, false, RS_MAPPING_SHARED_FILE },
		{ MAP_SHARED, true, RS_MAPPING_SHARED_FILE },
		{ MAP_PRIVATE, true, RS_MAPPING_PRIVATE_FILE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = table[i].file ? memfd_new(PAGES * page) : -1;
		struct memory memory = map_new(PAGES * page, table[i].flags, fd);
		struct rs_mapping *mappings;
		struct stat status;
		size_t count;

		read_all(&memory, &mappings, &count);
		assert_int_equal(count, 1);
		assert_mapping(&mappings[0], memory.host, PAGES, table[i].kind);
		if (table[i].file) {
			assert_int_equal(fstat(fd, &status), 0);
			assert_true(mappings[0].device == status.st_dev);
			assert_true(mappings[0].inode == status.st_ino);
		}
		assert_int_equal(mappings[0].file_offset, 0);
		free(mappings);
		unmap(&memory);
	}
}

/* The name of a file may look like anything. */
static void names_do_not_make_files_anonymous(void **state)
{
	char path[] = "/tmp/[anon:XXXXXX";
	int fd = mkstemp(path);
	struct rs_mapping *mappings;
	size_t count;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)(PAGES * page)), 0);
	struct memory memory = map_new(PAGES * page, MAP_PRIVATE, fd);

	read_all(&memory, &mappings, &count);
	assert_int_equal(count, 1);
	assert_int_equal(mappings[0].kind, RS_MAPPING_PRIVATE_FILE);
	free(mappings);
	unmap(&memory);
}

static void the_kernels_own_mappings_are_unknown(void **state)
{
	uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
	struct rs_mapping *mappings;
	size_t count;

	(void)state;
	if (vdso == 0) {
		print_message("no vdso\n");
		skip();
	}
	assert_int_equal(rs_mappings_read(vdso, vdso + page, &mappings, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(mappings[0].kind, RS_MAPPING_UNKNOWN);
	free(mappings);
}

/* Anonymous, file, gap, file further on, anonymous; with a part of the first and last cut off. */
static void ranges_are_covered_without_a_gap(void **state)
{
	int fd = memfd_new(PAGES * page);
	struct memory memory = map_anonymous(PAGES * page);
	struct rs_mapping *mappings;
	size_t count;

	(void)state;
	for (size_t i = 4; i < 12; i += 6)
		assert_true(mmap(memory.host + i * page, 2 * page, PROT_READ,
				 MAP_SHARED | MAP_FIXED, fd, (off_t)(i * page)) != MAP_FAILED);
	munmap(memory.host + 6 * page, 4 * page);
	struct memory middle = { .host = memory.host + page, .bytes = (PAGES - 2) * page };

	read_all(&middle, &mappings, &count);
	assert_int_equal(count, 5);
	assert_mapping(&mappings[0], memory.host + page, 3, RS_MAPPING_ANONYMOUS);
	assert_mapping(&mappings[1], memory.host + 4 * page, 2, RS_MAPPING_SHARED_FILE);
	assert_mapping(&mappings[2], memory.host + 6 * page, 4, RS_MAPPING_UNKNOWN);
	assert_mapping(&mappings[3], memory.host + 10 * page, 2, RS_MAPPING_SHARED_FILE);
	assert_mapping(&mappings[4], memory.host + 12 * page, 3, RS_MAPPING_ANONYMOUS);
	assert_int_equal(mappings[1].file_offset, 4 * page);
	assert_int_equal(mappings[3].file_offset, 10 * page);
	free(mappings);

	struct memory one = { .host = memory.host + 5 * page, .bytes = page };

	read_all(&one, &mappings, &count);
	assert_int_equal(count, 1);
	assert_mapping(&mappings[0], one.host, 1, RS_MAPPING_SHARED_FILE);
	assert_int_equal(mappings[0].file_offset, 5 * page);
	free(mappings);
	munmap(memory.host, memory.bytes);
	close(fd);
}

/* The kernel lists them apart, for instance after mprotect(2); here they are one again. */
static void what_belongs_together_is_joined(void **state)
{
	struct memory file = map_memfd(PAGES * page);
	struct memory table[] = { map_anonymous(PAGES * page), file };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rs_mapping *mappings;
		size_t count;

		assert_int_equal(mprotect(table[i].host + 3 * page, page, PROT_READ), 0);
		read_all(&table[i], &mappings, &count);
		assert_int_equal(count, 1);
		free(mappings);
	}
	/* The same file, but not its next page. */
	struct rs_mapping *mappings;
	size_t count;

	assert_true(mmap(file.host + 8 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file.fd,
			 0) != MAP_FAILED);
	read_all(&file, &mappings, &count);
	assert_int_equal(count, 3);
	free(mappings);
	unmap(&table[0]);
	unmap(&table[1]);
}

static void nothing_mapped_is_unknown(void **state)
{
	struct memory memory = map_anonymous(PAGES * page);
	struct rs_mapping *mappings;
	size_t count;

	(void)state;
	munmap(memory.host, memory.bytes);
	read_all(&memory, &mappings, &count);
	assert_int_equal(count, 1);
	assert_mapping(&mappings[0], memory.host, PAGES, RS_MAPPING_UNKNOWN);
	free(mappings);
}

static int without_files(void)
{
	struct rs_mapping *mappings = NULL;
	size_t count = 0;

	if (!missing_call(SYS_openat, ENOENT))
		return MISSING_CALL_NOT_POSSIBLE;
	return rs_mappings_read(page, 2 * page, &mappings, &count) == -ENOENT ? 0 : 1;
}

static void without_proc_it_fails(void **state)
{
	int result = in_a_child(without_files);

	(void)state;
	if (result == MISSING_CALL_NOT_POSSIBLE) {
		print_message("system calls cannot be filtered here\n");
		skip();
	}
	assert_int_equal(result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_are_told_apart),
		cmocka_unit_test(names_do_not_make_files_anonymous),
		cmocka_unit_test(the_kernels_own_mappings_are_unknown),
		cmocka_unit_test(ranges_are_covered_without_a_gap),
		cmocka_unit_test(what_belongs_together_is_joined),
		cmocka_unit_test(nothing_mapped_is_unknown),
		cmocka_unit_test(without_proc_it_fails),
	};

	page = memory_page();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
