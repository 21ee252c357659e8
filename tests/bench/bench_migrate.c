/* SPDX-License-Identifier: MIT */
/*
 * Whole migrations inside one process, over loopback TCP, against what the machine allows:
 *
 *	copy	random memory, touched at both ends, against a bare writev/readv copy of the same
 *pages never	memory that was never populated, into a fresh region sparse	64 GiB with 1 GiB
 *populated, against the 1 GiB alone idle	a guest that writes nothing: from stop to running
 *
 * bench_migrate [--smoke] [copy|never|sparse|idle]: a JSON object a line. Ratios are pair by pair.
 */
#include "measure.h"
#include "migration_pair.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static bool smoke;

static size_t scaled(size_t bytes)
{
	return smoke ? bytes / 256 : bytes;
}

static int runs(void)
{
	return smoke ? 1 : 5;
}

static struct memory make_memory(size_t bytes)
{
	return (struct memory){ map_memory(bytes), bytes };
}

static void free_memory(struct memory memory)
{
	munmap(memory.data, memory.bytes);
}

static void fill_random(struct memory memory, size_t bytes)
{
	uint64_t state = 0x9e3779b97f4a7c15ull, *words = (uint64_t *)memory.data;

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		words[i] = next_random(&state);
}

static void check_equal(struct memory a, struct memory b)
{
	if (memcmp(a.data, b.data, a.bytes) == 0)
		return;
	fprintf(stderr, "the memories differ\n");
	exit(1);
}

/* ---- the bare copy ------------------------------------------------------------------------- */

/* Pages a call, as iovecs of a page each: what a program that just copies pages would do. */
#define BARE_PAGES 256

struct bare {
	int socket;
	struct memory memory;
	bool sends;
};

static void *bare_main(void *argument)
{
	const struct bare *bare = argument;

	for (size_t done = 0; done < bare->memory.bytes;) {
		struct iovec iov[BARE_PAGES];
		int count = 0;

		for (size_t at = done; at < bare->memory.bytes && count < BARE_PAGES; count++) {
			size_t bytes = PAGE - at % PAGE;

			iov[count] = (struct iovec){ bare->memory.data + at, bytes };
			at += bytes;
		}
		ssize_t moved = bare->sends ? writev(bare->socket, iov, count)
					    : readv(bare->socket, iov, count);

		if (moved <= 0)
			measure_die("bare copy");
		done += (size_t)moved;
	}
	return NULL;
}

static double bare_copy(struct memory from, struct memory to)
{
	int sockets[2];

	make_tcp_pair(sockets);
	struct bare sender = { sockets[0], from, true }, receiver = { sockets[1], to, false };
	uint64_t start = rs_clock_ns();
	pthread_t thread;

	pthread_create(&thread, NULL, bare_main, &receiver);
	bare_main(&sender);
	pthread_join(thread, NULL);
	double seconds = seconds_since(start);

	close(sockets[0]);
	close(sockets[1]);
	return seconds;
}

/* ---- the cases ----------------------------------------------------------------------------- */

static void bench_copy(void)
{
	static const struct migration_options options = { .log = true, .downtime_limit = "300" };
	size_t bytes = scaled(4 * GIB);
	struct memory from = make_memory(bytes), to = make_memory(bytes);
	struct samples bare = { 0 }, ours = { 0 }, ratio = { 0 };
	long extra_kib = 0;

	fill_random(from, bytes);
	memset(to.data, 1, bytes);
	for (int run = 0; run < runs(); run++) {
		double floor = bare_copy(from, to);

		memset(to.data, 1, bytes);
		reset_peak();
		long before = status_kib("VmRSS:");
		struct migration_result result = migrate_memory(from, to, &options);

		extra_kib = status_kib("VmHWM:") - before;
		samples_add(&bare, floor);
		samples_add(&ours, result.seconds);
		samples_add(&ratio, floor / result.seconds);
		check_equal(from, to);
	}
	printf("{\"bench\": \"copy\", \"bytes\": %zu, \"bare_seconds\": %.4f, \"seconds\": %.4f, "
	       "\"speed_ratio\": %.3f, \"goal\": 0.85, \"extra_kib\": %ld, "
	       "\"extra_goal_kib\": %zu}\n",
	       bytes, samples_median(&bare), samples_median(&ours), samples_median(&ratio),
	       extra_kib, (32 * MIB + 3 * bytes / PAGE / 8) / 1024);
	free_memory(from);
	free_memory(to);
}

static void bench_never(void)
{
	static const struct migration_options options = { .fresh = true,
							  .log = true,
							  .downtime_limit = "300" };
	size_t bytes = scaled(4 * GIB);
	struct samples ms = { 0 };
	long grown_kib = 0;

	for (int run = 0; run < runs(); run++) {
		struct memory from = make_memory(bytes), to = make_memory(bytes);
		long before = status_kib("VmRSS:");
		struct migration_result result = migrate_memory(from, to, &options);
		long grown = status_kib("VmRSS:") - before;

		grown_kib = grown > grown_kib ? grown : grown_kib;
		samples_add(&ms, result.seconds * 1e3);
		free_memory(from);
		free_memory(to);
	}
	printf("{\"bench\": \"never\", \"bytes\": %zu, \"ms\": %.3f, \"goal_ms\": 20, "
	       "\"grown_kib\": %ld}\n",
	       bytes, samples_median(&ms), grown_kib);
}

static void bench_sparse(void)
{
	static const struct migration_options options = { .fresh = true,
							  .log = true,
							  .downtime_limit = "300" };
	size_t small = scaled(GIB), large = 64 * small;
	struct memory dense = make_memory(small), sparse = make_memory(large);
	struct samples alone = { 0 }, within = { 0 }, ratio = { 0 };
	long tables = 0;

	fill_random(dense, small);
	/* Pieces of 16 MiB, spread evenly. */
	for (size_t at = 0; at < small; at += small / 64)
		memcpy(sparse.data + at * 64, dense.data + at, small / 64);
	for (int run = 0; run < runs(); run++) {
		/* Had and given back just now, so that both find the machine's memory warm. */
		struct memory warm = make_memory(small);

		memset(warm.data, 1, small);
		free_memory(warm);
		struct memory to = make_memory(small);
		double seconds = migrate_memory(dense, to, &options).seconds;

		check_equal(dense, to);
		free_memory(to);

		long before = status_kib("VmPTE:");

		to = make_memory(large);
		double sparse_seconds = migrate_memory(sparse, to, &options).seconds;

		/* The destination's pages need tables of their own: 2 MiB a GiB. */
		tables = status_kib("VmPTE:") - before;
		free_memory(to);
		samples_add(&alone, seconds);
		samples_add(&within, sparse_seconds);
		samples_add(&ratio, sparse_seconds / seconds);
	}
	printf("{\"bench\": \"sparse\", \"bytes\": %zu, \"populated\": %zu, "
	       "\"populated_alone_seconds\": %.4f, \"seconds\": %.4f, \"time_ratio\": %.3f, "
	       "\"goal\": 1.1, \"page_tables_grown_kib\": %ld, \"page_tables_needed_kib\": %zu}\n",
	       large, small, samples_median(&alone), samples_median(&within),
	       samples_median(&ratio), tables, small / PAGE * 8 / 1024);
	free_memory(dense);
	free_memory(sparse);
}

static void bench_idle(void)
{
	static const char *const limits[] = { "300", "20", "1", "0" };
	size_t bytes = scaled(4 * GIB);
	struct memory from = make_memory(bytes), to = make_memory(bytes);

	fill_random(from, bytes);
	memset(to.data, 1, bytes);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct migration_options options = { .log = true,
							   .downtime_limit = limits[i] };
		struct samples blackout = { 0 };

		for (int run = 0; run < runs(); run++)
			samples_add(&blackout, migrate_memory(from, to, &options).blackout_ms);
		printf("{\"bench\": \"idle\", \"bytes\": %zu, \"downtime_limit_ms\": %s, "
		       "\"stop_to_running_ms\": %.3f, \"goal_ms\": 5}\n",
		       bytes, limits[i], samples_median(&blackout));
		fflush(stdout);
	}
	free_memory(from);
	free_memory(to);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} benches[] = {
		{ "copy", bench_copy },
		{ "never", bench_never },
		{ "sparse", bench_sparse },
		{ "idle", bench_idle },
	};
	const char *wanted = argc > 1 ? argv[argc - 1] : NULL;

	smoke = is_smoke_run(argc, argv);
	if (wanted != NULL && wanted[0] == '-')
		wanted = NULL;
	for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
		if (wanted == NULL || strcmp(wanted, benches[i].name) == 0) {
			benches[i].run();
			fflush(stdout);
		}
	return 0;
}
