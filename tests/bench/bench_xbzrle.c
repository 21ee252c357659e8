/* SPDX-License-Identifier: MIT */
/*
 * XBZRLE: how fast pages with so many changed bytes, scattered or in one run, become deltas, and deltas
 * pages; each version against the model, which looks at a byte at a time, and against memcmp() of the same
 * pages, in turns in one run. In GB/s of guest memory, for pages
 * out of the processor's cache and for pages in it (the saver has just copied one of the two when it encodes). Goals: unchanged pages at 0.9 of memcmp()'s
 * speed; 1 to 100 changed bytes at 4 GB/s or ten times the model's, whichever is lower.
 */
#include "bench/measure.h"
#include "codec/xbzrle.h"
#include "support/xbzrle_model.h"

enum { PAGE = 4096, ROUNDS = 9, VERSIONS = 4, CACHED_PAGES = 128, MEMORY_PAGES = 16384 };

struct pages {
	size_t count;
	unsigned char *old, *new, *deltas, *work;
	int *lengths;
};

static void fill(struct pages *pages, size_t changes, bool clustered)
{
	uint64_t state = 88172645463325252u;
	size_t bytes = pages->count * PAGE;

	for (size_t i = 0; i < bytes; i += sizeof(state)) {
		uint64_t value = next_random(&state);

		memcpy(pages->old + i, &value, sizeof(value));
	}
	memcpy(pages->new, pages->old, bytes);
	for (size_t page = 0; page < pages->count; page++) {
		size_t first = next_random(&state) % (PAGE - changes + 1);

		for (size_t i = 0; i < changes; i++) {
			size_t at = clustered ? first + i : next_random(&state) % PAGE;

			pages->new[page * PAGE + at] ^=
			    (unsigned char)(1 + next_random(&state) % 255);
		}
	}
}

static double gbps(const struct pages *pages, uint64_t start_ns)
{
	return (double)(pages->count * PAGE) / seconds_since(start_ns) / 1e9;
}

static double time_encode(struct pages *pages, rs_xbzrle_function *encode)
{
	uint64_t start = rs_clock_ns();

	for (size_t page = 0; page < pages->count; page++)
		pages->lengths[page] = encode(pages->old + page * PAGE, pages->new + page *PAGE,
					      PAGE, pages->deltas + page * PAGE, PAGE);
	return gbps(pages, start);
}

static double time_compare(const struct pages *pages, unsigned *sink)
{
	uint64_t start = rs_clock_ns();

	for (size_t page = 0; page < pages->count; page++)
		*sink += memcmp(pages->old + page * PAGE, pages->new + page *PAGE, PAGE) == 0;
	return gbps(pages, start);
}

/* Of the deltas that were written last. Pages that overflowed are left as they are. */
static double time_decode(struct pages *pages)
{
	memcpy(pages->work, pages->old, pages->count * PAGE);
	uint64_t start = rs_clock_ns();

	for (size_t page = 0; page < pages->count; page++)
		if (pages->lengths[page] > 0 &&
		    rs_xbzrle_decode(pages->work + page * PAGE, PAGE, pages->deltas + page * PAGE,
				     (size_t)pages->lengths[page]) != 0)
			measure_die("a delta was refused");
	double speed = gbps(pages, start);

	for (size_t page = 0; page < pages->count; page++)
		if (pages->lengths[page] >= 0 &&
		    memcmp(pages->work + page * PAGE, pages->new + page *PAGE, PAGE) != 0)
			measure_die("a page came back different");
	return speed;
}

static void measure(struct pages *pages, size_t changes, bool clustered, unsigned rounds)
{
	struct samples compare = { .count = 0 }, model = { .count = 0 }, decode = { .count = 0 };
	struct samples version[VERSIONS] = { { .count = 0 } };
	unsigned sink = 0;
	size_t count;
	const struct rs_xbzrle_version *versions = rs_xbzrle_versions(&count);

	fill(pages, changes, clustered);
	for (unsigned round = 0; round < rounds; round++) {
		samples_add(&compare, time_compare(pages, &sink));
		samples_add(&model, time_encode(pages, xbzrle_model_encode));
		for (size_t v = 0; v < count && v < VERSIONS; v++)
			samples_add(&version[v], time_encode(pages, versions[v].encode));
		samples_add(&decode, time_decode(pages));
	}
	if (changes == 0 && sink != rounds * pages->count)
		measure_die("equal pages are different");
	printf("{\"bench\":\"xbzrle\",\"cached\":%s,\"changes\":%zu,\"clustered\":%s,\"pages\":%zu,"
	       "\"rounds\":%u,"
	       "\"memcmp_gbps\":%.3g,\"model_gbps\":%.3g,\"decode_gbps\":%.3g",
	       pages->count <= CACHED_PAGES ? "true" : "false", changes,
	       clustered ? "true" : "false", pages->count, rounds, samples_median(&compare),
	       samples_median(&model), samples_median(&decode));
	for (size_t v = 0; v < count && v < VERSIONS; v++)
		printf(",\"%s_gbps\":%.3g", versions[v].name, samples_median(&version[v]));
	printf("}\n");
}

static void measure_all(struct pages *pages, unsigned rounds)
{
	static const size_t changes[] = { 0, 1, 10, 100, 1000, PAGE };

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		for (int clustered = changes[i] < 2 || changes[i] == PAGE; clustered < 2;
		     clustered++)
			measure(pages, changes[i], clustered, rounds);
}

int main(int argc, char **argv)
{
	bool smoke = is_smoke_run(argc, argv);
	struct pages pages = { .count = smoke ? CACHED_PAGES : MEMORY_PAGES };
	size_t bytes = pages.count * PAGE;

	pages.old = map_memory(bytes);
	pages.new = map_memory(bytes);
	pages.deltas = map_memory(bytes);
	pages.work = map_memory(bytes);
	pages.lengths = calloc(pages.count, sizeof(*pages.lengths));
	if (pages.lengths == NULL)
		measure_die("calloc");
	memset(pages.deltas, 1, bytes);
	if (!smoke)
		measure_all(&pages, ROUNDS);
	pages.count = CACHED_PAGES;
	measure_all(&pages, smoke ? 1 : 7 * ROUNDS);
	free(pages.lengths);
	return 0;
}
