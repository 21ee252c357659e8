/* SPDX-License-Identifier: MIT */
/*
 * The zero test against the memory: how fast rs_zero_run_pages() goes over zero memory in small
 * pages, compared with a loop that only reads the same memory, in turns in one run; and what it
 * costs to reject a page of random bytes, alone and in a run. Goal: 0.9 of the reading speed.
 */
#include "bench/measure.h"
#include "codec/zero_page.h"

enum { PAGE = 4096 };

typedef uint64_t reader_function(const unsigned char *data, size_t bytes);

/* Nothing but reads: as wide as the machine allows, and the sum, so that none is left out. */
typedef uint64_t wide __attribute__((vector_size(32), may_alias));

#define DEFINE_READER(name, attributes)                                                            \
	attributes static uint64_t name(const unsigned char *data, size_t bytes)                   \
	{                                                                                          \
		const wide *v = (const wide *)data;                                                \
		wide a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };                                   \
                                                                                                   \
		for (size_t i = 0; i < bytes / sizeof(wide); i += 4) {                             \
			a += v[i];                                                                 \
			b += v[i + 1];                                                             \
			c += v[i + 2];                                                             \
			d += v[i + 3];                                                             \
		}                                                                                  \
		a += b + c + d;                                                                    \
		return a[0] + a[1] + a[2] + a[3];                                                  \
	}

DEFINE_READER(read_portable, )
#if defined(__x86_64__)
DEFINE_READER(read_avx2, __attribute__((target("avx2"))))
#endif

static reader_function *best_reader(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return read_avx2;
#endif
	return read_portable;
}

static void fill_random(unsigned char *data, size_t bytes)
{
	uint64_t state = 88172645463325252u;

	for (size_t i = 0; i < bytes; i += sizeof(state)) {
		uint64_t value = next_random(&state);

		memcpy(data + i, &value, sizeof(value));
	}
}

int main(int argc, char **argv)
{
	bool smoke = is_smoke_run(argc, argv);
	size_t bytes = (size_t)(smoke ? 4 : 1024) << 20, pages = bytes / PAGE;
	unsigned rounds = smoke ? 1 : 9;
	unsigned char *memory = map_memory(bytes);
	reader_function *reader = best_reader();
	struct samples run = { .count = 0 }, reads = { .count = 0 }, ratio = { .count = 0 };
	struct samples reject = { .count = 0 }, reject_run = { .count = 0 };
	uint64_t sink = 0;
	size_t count;

	memset(memory, 0, bytes);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t start = rs_clock_ns();
		sink += reader(memory, bytes);
		double read_gbps = (double)bytes / seconds_since(start) / 1e9;

		start = rs_clock_ns();
		if (rs_zero_run_pages(memory, pages, PAGE, true) != pages)
			measure_die("zero memory was not found to be zero");
		double run_gbps = (double)bytes / seconds_since(start) / 1e9;

		samples_add(&reads, read_gbps);
		samples_add(&run, run_gbps);
		samples_add(&ratio, run_gbps / read_gbps);
	}

	fill_random(memory, bytes);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t start = rs_clock_ns();
		for (size_t page = 0; page < pages; page++)
			sink += rs_is_zero(memory + page * PAGE, PAGE);
		samples_add(&reject, seconds_since(start) * 1e9 / (double)pages);

		start = rs_clock_ns();
		if (rs_zero_run_pages(memory, pages, PAGE, false) != pages)
			measure_die("random memory was found to be zero");
		samples_add(&reject_run, seconds_since(start) * 1e9 / (double)pages);
	}

	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);

	printf("{\"bench\":\"zero\",\"version\":\"%s\",\"bytes\":%zu,\"rounds\":%u,"
	       "\"read_gbps\":%.3g,\"zero_run_gbps\":%.3g,\"ratio\":%.3g,\"ratio_goal\":0.9,"
	       "\"reject_page_ns\":%.3g,\"reject_page_in_run_ns\":%.3g}\n",
	       versions[count - 1].name, bytes, rounds, samples_median(&reads),
	       samples_median(&run), samples_median(&ratio), samples_median(&reject),
	       samples_median(&reject_run));
	munmap(memory, bytes);
	/* The sum is used, so the compiler must have read it all. */
	return sink == 1;
}
