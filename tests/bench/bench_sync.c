/* SPDX-License-Identifier: MIT */
/*
 * What a sync of the userfaultfd dirty log costs, in milliseconds for each GiB: of memory that is
 * populated and clean, of holes, and with a part of the pages written since the last one. And what
 * 64 GiB of holes cost in page tables. Goals: 0.6 ms a GiB clean, 0.1 ms a GiB of holes, no growth
 * of page tables.
 */
#include "bench/measure.h"
#include "support/tracked_region.h"

#include <unistd.h>

enum { ROUNDS = 9 };

#define GIB (1ull << 30)

static size_t page_bytes;
static unsigned rounds;

static void die_of(const struct tracked_region *tracked)
{
	fprintf(stderr, "%s\n", tracked->error.text);
	exit(1);
}

static void track(struct tracked_region *tracked, unsigned char *host, size_t bytes, int fd)
{
	struct rs_region_config config = {
		.host = host,
		.used_bytes = bytes,
		.fd = fd,
		.flags = fd >= 0 ? RS_REGION_HAS_FD : 0,
	};

	if (tracked_region_init(tracked, (uint32_t)page_bytes, config) != 0 ||
	    rs_region_add_dirty_log(tracked->region, &rs_dirty_log_userfaultfd, NULL) != 0)
		die_of(tracked);
}

static double per_gib_ms(uint64_t start_ns, size_t bytes)
{
	return seconds_since(start_ns) * 1e3 * (double)GIB / (double)bytes;
}

static double timed_start(struct tracked_region *tracked, size_t bytes)
{
	uint64_t start = rs_clock_ns();

	if (tracked_region_start(tracked) != 0)
		die_of(tracked);
	return per_gib_ms(start, bytes);
}

/* One sync, and that it finds what it should. */
static double timed_sync(struct tracked_region *tracked, size_t bytes, uint64_t wanted)
{
	rs_bitmap_reset(&tracked->region->dirty);
	uint64_t start = rs_clock_ns();

	if (tracked_region_sync(tracked) != 0)
		die_of(tracked);
	double ms = per_gib_ms(start, bytes);
	uint64_t found = rs_bitmap_count(&tracked->region->dirty);

	if (found != wanted) {
		fprintf(stderr, "%llu pages found dirty of %llu\n", (unsigned long long)found,
			(unsigned long long)wanted);
		exit(1);
	}
	return ms;
}

/* Write to that many pages of the memory, spread evenly. Nanoseconds for each. */
static double dirty(unsigned char *host, size_t bytes, size_t count)
{
	size_t pages = bytes / page_bytes;
	uint64_t start = rs_clock_ns();

	for (size_t i = 0; i < count; i++)
		host[i * pages / count * page_bytes]++;
	return count > 0 ? seconds_since(start) * 1e9 / (double)count : 0;
}

static void measure_populated(const char *name, unsigned char *host, size_t bytes, int fd)
{
	static const unsigned percents[] = { 0, 1, 10, 100 };
	struct samples writes = { .count = 0 };
	struct tracked_region tracked;

	memset(host, 1, bytes);
	track(&tracked, host, bytes, fd);
	printf(",\"%s_start_ms_per_gib\":%.3g", name, timed_start(&tracked, bytes));
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		size_t count = bytes / page_bytes * percents[i] / 100;
		struct samples syncs = { .count = 0 };

		for (unsigned round = 0; round < rounds; round++) {
			double write_ns = dirty(host, bytes, count);

			if (percents[i] == 10)
				samples_add(&writes, write_ns);
			samples_add(&syncs, timed_sync(&tracked, bytes, count));
		}
		printf(",\"%s_%u_percent_dirty_ms_per_gib\":%.3g", name, percents[i],
		       samples_median(&syncs));
	}
	printf(",\"%s_first_write_ns\":%.3g", name, samples_median(&writes));
	tracked_region_stop(&tracked);
	tracked_region_fini(&tracked);
	munmap(host, bytes);
}

/* Every block with one hole: the slow question for all of it. */
static void measure_porous(size_t bytes)
{
	unsigned char *host = map_memory(bytes);
	struct samples syncs = { .count = 0 };
	struct tracked_region tracked;

	for (size_t at = 0; at < bytes; at += page_bytes)
		if (at % MEASURE_HUGE_BYTES != 0)
			host[at] = 1;
	track(&tracked, host, bytes, -1);
	timed_start(&tracked, bytes);
	for (unsigned round = 0; round < rounds; round++)
		samples_add(&syncs, timed_sync(&tracked, bytes, 0));
	printf(",\"porous_clean_ms_per_gib\":%.3g", samples_median(&syncs));
	tracked_region_stop(&tracked);
	tracked_region_fini(&tracked);
	munmap(host, bytes);
}

static long page_table_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	long kib = 0;

	if (file == NULL)
		measure_die("/proc/self/status");
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "VmPTE: %ld kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static void measure_holes(const char *name, unsigned char *host, size_t bytes, int fd)
{
	struct samples syncs = { .count = 0 };
	struct tracked_region tracked;
	long before = page_table_kib();

	track(&tracked, host, bytes, fd);
	printf(",\"%s_holes_start_ms_per_gib\":%.3g", name, timed_start(&tracked, bytes));
	for (unsigned round = 0; round < rounds; round++)
		samples_add(&syncs, timed_sync(&tracked, bytes, 0));
	printf(",\"%s_holes_ms_per_gib\":%.3g,\"%s_holes_page_table_growth_kib\":%ld", name,
	       samples_median(&syncs), name, page_table_kib() - before);
	tracked_region_stop(&tracked);
	tracked_region_fini(&tracked);
	munmap(host, bytes);
}

static unsigned char *map_memfd(size_t bytes, int *fd)
{
	*fd = memfd_create("bench", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)bytes) != 0)
		measure_die("memfd");
	void *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);

	if (host == MAP_FAILED)
		measure_die("mmap");
	return host;
}

int main(int argc, char **argv)
{
	bool smoke = is_smoke_run(argc, argv);
	size_t populated = smoke ? (size_t)16 << 20 : (size_t)GIB;
	size_t holes = smoke ? (size_t)GIB : (size_t)(64 * GIB);
	unsigned char *host;
	int fd;

	page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	rounds = smoke ? 1 : ROUNDS;
	printf("{\"bench\":\"sync\",\"populated_bytes\":%zu,\"holes_bytes\":%zu,\"rounds\":%u,"
	       "\"clean_goal_ms_per_gib\":0.6,\"holes_goal_ms_per_gib\":0.1",
	       populated, holes, rounds);
	measure_populated("anonymous", map_memory(populated), populated, -1);
	host = map_memfd(populated, &fd);
	measure_populated("memfd", host, populated, fd);
	close(fd);
	measure_porous(populated);
	measure_holes("anonymous", map_memory(holes), holes, -1);
	host = map_memfd(holes, &fd);
	measure_holes("memfd", host, holes, fd);
	close(fd);
	printf("}\n");
	return 0;
}
