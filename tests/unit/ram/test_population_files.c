/* SPDX-License-Identifier: MIT */
/* Holes of memory that is a file, or part of one, and what cannot be known of it. */
#include "unit/ram/population_subject.h"
#include "support/huge_pages.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Pages come into a file in three ways, of which this mapping sees one. */
static void shared_memory_is_asked_by_its_file(void **state)
{
	struct memory memory = map_memfd(PAGES * host_page);
	struct memory alias = map_new(memory.bytes, MAP_SHARED, memory.fd);
	struct subject subject;
	struct stat before, after;

	(void)state;
	subject_open(&subject, &memory);
	ASSERT_NO_DATA(&subject, &memory);
	write_page(&memory, 3);
	write_page(&alias, 50);
	assert_int_equal(pwrite(memory.fd, "x", 1, (off_t)(200 * host_page + 1)), 1);
	assert_int_equal(lseek(memory.fd, 12345, SEEK_SET), 12345);
	assert_int_equal(fstat(memory.fd, &before), 0);
	ASSERT_DATA(&subject, &memory, 3, 50, 200);
	/* Neither did that populate anything, nor move the embedder's file position. */
	assert_int_equal(fstat(memory.fd, &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(lseek(memory.fd, 0, SEEK_CUR), 12345);
	/* Gone from this page table, not from the file. */
	madvise(memory.host, memory.bytes, MADV_DONTNEED);
	ASSERT_DATA(&subject, &memory, 3, 50, 200);
	assert_int_equal(madvise(memory.host + 50 * host_page, host_page, MADV_REMOVE), 0);
	ASSERT_DATA(&subject, &memory, 3, 200);
	subject_close(&subject);
	munmap(alias.host, alias.bytes);
	unmap(&memory);
}

static void a_part_of_a_file_is_found_in_it(void **state)
{
	int fd = memfd_new(4 * PAGES * host_page);
	struct memory memory = { .bytes = PAGES * host_page, .fd = fd };
	struct subject subject;

	(void)state;
	memory.host = mmap(NULL, memory.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   (off_t)(2 * PAGES * host_page));
	assert_true(memory.host != MAP_FAILED);
	subject_open(&subject, &memory);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)(4 * host_page)), 1);
	ASSERT_NO_DATA(&subject, &memory);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)((2 * PAGES + 5) * host_page)), 1);
	ASSERT_DATA(&subject, &memory, 5);
	subject_close(&subject);
	unmap(&memory);
}

static void behind_the_end_of_a_file_is_nothing(void **state)
{
	struct memory memory = map_memfd(PAGES * host_page);
	struct subject subject;

	(void)state;
	memset(memory.host, 1, memory.bytes);
	assert_int_equal(ftruncate(memory.fd, (off_t)(10 * host_page)), 0);
	subject_open(&subject, &memory);
	assert_int_equal(count_holes(&subject, &memory), PAGES - 10);
	subject_close(&subject);
	unmap(&memory);
}

static void private_memory_of_a_file_needs_both_proofs(void **state)
{
	struct memory memory =
	    map_new(PAGES * host_page, MAP_PRIVATE, memfd_new(PAGES * host_page));
	struct subject subject;

	(void)state;
	subject_open(&subject, &memory);
	ASSERT_NO_DATA(&subject, &memory);
	assert_int_equal(pwrite(memory.fd, "x", 1, (off_t)(10 * host_page)), 1);
	write_page(&memory, 20);
	assert_int_equal(pwrite(memory.fd, "x", 1, (off_t)(21 * host_page)), 1);
	write_page(&memory, 21);
	ASSERT_DATA(&subject, &memory, 10, 20, 21);
	subject_close(&subject);
	unmap(&memory);
}

/* The kind of memory is the kernel's word; what the region claims does not matter. */
static void what_cannot_be_known_counts_as_data(void **state)
{
	size_t bytes = PAGES * host_page;
	struct memory other = map_memfd(bytes);
	struct memory table[] = {
		map_new(bytes, MAP_SHARED | MAP_ANONYMOUS, -1),
		map_memfd(bytes),
		map_memfd(bytes),
		map_new(bytes, MAP_PRIVATE, memfd_new(bytes)),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct memory claimed = table[i];
		struct subject subject;

		/* No descriptor, or one of another file. */
		claimed.fd = i == 1 ? other.fd : -1;
		subject_open(&subject, &claimed);
		assert_int_equal(count_holes(&subject, &claimed), 0);
		subject_close(&subject);
		unmap(&table[i]);
	}
	unmap(&other);
}

static void a_wrong_descriptor_does_not_hide_anonymous_holes(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct memory claimed = memory;
	struct subject subject;

	(void)state;
	claimed.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(claimed.fd >= 0);
	subject_open(&subject, &claimed);
	write_page(&memory, 2);
	ASSERT_DATA(&subject, &memory, 2);
	subject_close(&subject);
	close(claimed.fd);
	unmap(&memory);
}

/* On a disk: holes only if the file system is one whose word is taken, but never wrong ones. */
static void a_file_on_disk_loses_nothing(void **state)
{
	char path[] = "/tmp/ramsync-population-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct subject subject;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)(PAGES * host_page)), 0);
	struct memory memory = map_new(PAGES * host_page, MAP_SHARED, fd);
	bool is_hole[PAGES] = { false };

	subject_open(&subject, &memory);
	for (size_t page = 0; page < PAGES; page += 3) {
		write_page(&memory, page);
		memset(is_hole, 0, sizeof(is_hole));
		walk(subject.population, 0, memory.bytes, 8, host_page, is_hole);
		for (size_t written = 0; written <= page; written += 3)
			assert_false(is_hole[written]);
	}
	subject_close(&subject);
	unmap(&memory);
}

static void hugetlb_is_never_taken_for_a_hole(void **state)
{
	size_t bytes = 2 * (size_t)HUGE_BYTES;

	(void)state;
	if (!huge_pages_reserve(&huge_pages, 2))
		skip();
	for (int shared = 0; shared < 2; shared++) {
		int fd = shared ? memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB) : -1;
		struct memory memory = { .bytes = bytes, .fd = fd };
		struct subject subject;

		if (shared)
			assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
		memory.host =
		    mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, fd, 0);
		assert_true(memory.host != MAP_FAILED);
		memory.host[HUGE_BYTES] = 1;
		subject_open(&subject, &memory);
		bool is_hole[2] = { false };

		walk(subject.population, 0, bytes, 8, HUGE_BYTES, is_hole);
		assert_false(is_hole[1]);
		subject_close(&subject);
		unmap(&memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_memory_is_asked_by_its_file),
		cmocka_unit_test(a_part_of_a_file_is_found_in_it),
		cmocka_unit_test(behind_the_end_of_a_file_is_nothing),
		cmocka_unit_test(private_memory_of_a_file_needs_both_proofs),
		cmocka_unit_test(what_cannot_be_known_counts_as_data),
		cmocka_unit_test(a_wrong_descriptor_does_not_hide_anonymous_holes),
		cmocka_unit_test(a_file_on_disk_loses_nothing),
		cmocka_unit_test_teardown(hugetlb_is_never_taken_for_a_hole, huge_pages_teardown),
	};

	host_page = (size_t)sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
