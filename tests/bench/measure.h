/* SPDX-License-Identifier: MIT */
/* What the memory benchmarks share: samples and their median, memory, random bytes. */
#ifndef RS_BENCH_MEASURE_H
#define RS_BENCH_MEASURE_H

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEASURE_HUGE_BYTES ((size_t)2 << 20)

__attribute__((noreturn)) static inline void measure_die(const char *what)
{
	perror(what);
	exit(1);
}

/* Samples of one quantity. */
struct samples {
	double values[64];
	size_t count;
};

static inline void samples_add(struct samples *samples, double value)
{
	if (samples->count < sizeof(samples->values) / sizeof(samples->values[0]))
		samples->values[samples->count++] = value;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double samples_median(const struct samples *samples)
{
	struct samples sorted = *samples;

	if (sorted.count == 0)
		return 0;
	qsort(sorted.values, sorted.count, sizeof(sorted.values[0]), compare_doubles);
	return (sorted.values[(sorted.count - 1) / 2] + sorted.values[sorted.count / 2]) / 2;
}

static inline double seconds_since(uint64_t start_ns)
{
	return (double)(rs_clock_ns() - start_ns) / 1e9;
}

/* Anonymous memory by small pages, not touched. */
static inline unsigned char *map_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		measure_die("mmap");
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	return memory;
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline bool is_smoke_run(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "--smoke") == 0;
}

#endif
