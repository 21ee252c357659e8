/* SPDX-License-Identifier: MIT */
/* Huge pages for a test: reserved for its time, where the system lets us. */
#ifndef RS_TESTS_HUGE_PAGES_H
#define RS_TESTS_HUGE_PAGES_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define HUGE_PAGES_FILE "/proc/sys/vm/nr_hugepages"

struct huge_pages {
	int lock; /* one test at a time: the number is the whole system's */
	long before;
};

#define HUGE_PAGES_NONE                                                                            \
	{                                                                                          \
		-1, 0                                                                              \
	}

static inline long huge_pages_get(int fd)
{
	char text[32] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? strtol(text, NULL, 10) : -1;
}

static inline bool huge_pages_set(int fd, long pages)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", pages);

	return pwrite(fd, text, (size_t)length, 0) == length;
}

/* Set it back. Harmless if nothing was reserved. */
static inline void huge_pages_release(struct huge_pages *huge)
{
	if (huge->lock < 0)
		return;
	huge_pages_set(huge->lock, huge->before);
	close(huge->lock);
	huge->lock = -1;
}

/* Have more huge pages than there were. False, with a line that says why, where that fails. */
static inline bool huge_pages_reserve(struct huge_pages *huge, long pages)
{
	huge->lock = open(HUGE_PAGES_FILE, O_RDWR | O_CLOEXEC);
	if (huge->lock < 0 || flock(huge->lock, LOCK_EX) != 0) {
		printf("no huge pages: " HUGE_PAGES_FILE " cannot be set here\n");
		return false;
	}
	huge->before = huge_pages_get(huge->lock);
	if (huge_pages_set(huge->lock, huge->before + pages) &&
	    huge_pages_get(huge->lock) >= huge->before + pages)
		return true;
	printf("no huge pages: the system gives none\n");
	huge_pages_release(huge);
	return false;
}

/* What a test program has reserved, and the teardown that sets it back. */
static struct huge_pages huge_pages = HUGE_PAGES_NONE;

static inline int huge_pages_teardown(void **state)
{
	(void)state;
	huge_pages_release(&huge_pages);
	return 0;
}

#endif
