/* SPDX-License-Identifier: MIT */
/* Memory of several kinds for tests; include after cmocka.h. */
#ifndef RS_TESTS_TEST_MEMORY_H
#define RS_TESTS_TEST_MEMORY_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_BYTES = 2 << 20 };

struct memory {
	unsigned char *host;
	size_t bytes;
	int fd; /* -1: none */
};

static inline size_t memory_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static inline struct memory map_new(size_t bytes, int flags, int fd)
{
	struct memory memory = { .bytes = bytes, .fd = fd };

	memory.host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	assert_true(memory.host != MAP_FAILED);
	/* Where a page is touched, no others shall come with it. */
	madvise(memory.host, bytes, MADV_NOHUGEPAGE);
	return memory;
}

static inline struct memory map_anonymous(size_t bytes)
{
	return map_new(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static inline int memfd_new(size_t bytes)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static inline struct memory map_memfd(size_t bytes)
{
	return map_new(bytes, MAP_SHARED, memfd_new(bytes));
}

static inline void unmap(struct memory *memory)
{
	munmap(memory->host, memory->bytes);
	if (memory->fd >= 0)
		close(memory->fd);
}

static inline void write_page(const struct memory *memory, size_t page)
{
	memory->host[page * memory_page() + 7] = 1;
}

static inline void read_page(const struct memory *memory, size_t page)
{
	(void)*(volatile unsigned char *)(memory->host + page * memory_page());
}

static inline size_t resident_pages(const struct memory *memory)
{
	size_t pages = memory->bytes / memory_page(), resident = 0;
	unsigned char *vector = malloc(pages);

	assert_non_null(vector);
	assert_int_equal(mincore(memory->host, memory->bytes, vector), 0);
	for (size_t i = 0; i < pages; i++)
		resident += vector[i] & 1;
	free(vector);
	return resident;
}

#endif
