/* SPDX-License-Identifier: MIT */
#include "track/backing_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "support/test_memory.h"

enum { PAGES = 64 };

static size_t page;

static void write_at(int fd, size_t at)
{
	assert_int_equal(pwrite(fd, "x", 1, (off_t)at), 1);
}

static void data_and_holes_are_found(void **state)
{
	int fd = memfd_new(PAGES * page);
	struct rs_backing_file file;
	uint64_t end = PAGES * page;

	(void)state;
	rs_backing_file_open(&file, fd);
	assert_true(file.fd >= 0 && file.fd != fd);
	assert_int_equal(rs_backing_file_find_data(&file, 0, end), end);
	assert_int_equal(rs_backing_file_find_hole(&file, 0, end), 0);
	write_at(fd, 10 * page + 5);
	write_at(fd, 11 * page);
	assert_int_equal(rs_backing_file_find_data(&file, 0, end), 10 * page);
	assert_int_equal(rs_backing_file_find_hole(&file, 10 * page, end), 12 * page);
	assert_int_equal(rs_backing_file_find_data(&file, 12 * page, end), end);
	/* Neither goes beyond the limit. */
	assert_int_equal(rs_backing_file_find_data(&file, 0, 3 * page), 3 * page);
	assert_int_equal(rs_backing_file_find_hole(&file, 10 * page, 11 * page), 11 * page);
	/* Behind the end of the file there is nothing. */
	assert_int_equal(rs_backing_file_find_data(&file, end, 2 * end), 2 * end);
	assert_int_equal(rs_backing_file_find_hole(&file, end, 2 * end), end);
	rs_backing_file_close(&file);
	rs_backing_file_close(&file);
	close(fd);
}

static void the_owners_position_stays(void **state)
{
	int fd = memfd_new(PAGES * page);
	struct rs_backing_file file;

	(void)state;
	assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
	rs_backing_file_open(&file, fd);
	write_at(fd, 10 * page);
	rs_backing_file_find_data(&file, 0, PAGES * page);
	rs_backing_file_find_hole(&file, 0, PAGES * page);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
	assert_true(fcntl(file.fd, F_GETFD) & FD_CLOEXEC);
	rs_backing_file_close(&file);
	close(fd);
}

static void only_the_same_file_matches(void **state)
{
	int fd = memfd_new(page), other = memfd_new(page);
	struct rs_backing_file file;
	struct stat status;

	(void)state;
	rs_backing_file_open(&file, fd);
	assert_int_equal(fstat(fd, &status), 0);
	struct rs_mapping mapping = { .device = status.st_dev, .inode = status.st_ino };

	assert_true(rs_backing_file_matches(&file, &mapping));
	mapping.device++;
	assert_false(rs_backing_file_matches(&file, &mapping));
	assert_int_equal(fstat(other, &status), 0);
	mapping = (struct rs_mapping){ .device = status.st_dev, .inode = status.st_ino };
	assert_false(rs_backing_file_matches(&file, &mapping));
	rs_backing_file_close(&file);
	close(fd);
	close(other);
}

/* Of what nothing is known: no descriptor, closed, no file, a file system that is not trusted. */
static void what_cannot_tell_is_not_asked(void **state)
{
	int pipes[2];
	int closed = memfd_new(page);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	close(closed);
	const int table[] = { -1, closed, null, proc, pipes[0], pipes[1] };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rs_mapping nowhere = { .kind = RS_MAPPING_SHARED_FILE };
		struct rs_backing_file file;

		rs_backing_file_open(&file, table[i]);
		assert_int_equal(file.fd, -1);
		assert_false(rs_backing_file_matches(&file, &nowhere));
		rs_backing_file_close(&file);
	}
	close(null);
	close(proc);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_and_holes_are_found),
		cmocka_unit_test(the_owners_position_stays),
		cmocka_unit_test(only_the_same_file_matches),
		cmocka_unit_test(what_cannot_tell_is_not_asked),
	};

	page = memory_page();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
