/* SPDX-License-Identifier: MIT */
/* Any number of regions: they cost no descriptors, and a migration goes through all of them. */
#include <ramsync/ramsync.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

#define REGIONS 2000u
/* Enough pages for the saver to ask which were never populated. */
#define REGION_BYTES ((size_t)64 * 4096)
#define FEW_DESCRIPTORS 64u

static int do_nothing(void *opaque)
{
	(void)opaque;
	return 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	(void)why;
	return do_nothing(opaque);
}

static const struct rs_vm_ops vm = {
	.size = sizeof(vm),
	.stop = do_nothing,
	.resume = resume,
};

static unsigned char *map_all(void)
{
	void *memory = mmap(NULL, REGIONS * REGION_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static struct rs_state *make_state(unsigned char *memory)
{
	struct rs_state *state;

	assert_int_equal(rs_state_create(NULL, &state), 0);
	for (unsigned i = 0; i < REGIONS; i++) {
		char name[32];
		const struct rs_region_config config = { .size = sizeof(config),
							 .name = name,
							 .host = memory + i * REGION_BYTES,
							 .used_bytes = REGION_BYTES };

		snprintf(name, sizeof(name), "region.%u", i);
		assert_int_equal(rs_region_add(state, &config, NULL), 0);
	}
	return state;
}

static void limit_descriptors(struct rlimit *before)
{
	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	const struct rlimit few = { .rlim_cur = FEW_DESCRIPTORS, .rlim_max = before->rlim_max };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static void thousands_migrate_with_few_descriptors(void **unused)
{
	unsigned char *here = map_all(), *there = map_all();
	struct rs_state *source = make_state(here), *destination = make_state(there);
	struct rs_stream *out, *in;
	struct rlimit before;
	int sockets[2];

	(void)unused;
	for (unsigned i = 0; i < REGIONS; i++) {
		here[i * REGION_BYTES + 4096 * (i % 64)] = (unsigned char)(i | 1);
		/* Not fresh: the loader has to ask what it may leave alone. */
		there[i * REGION_BYTES + 8192] = 7;
	}
	limit_descriptors(&before);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(rs_stream_from_fd(sockets[0], RS_STREAM_TWO_WAY, &out), 0);
	assert_int_equal(rs_stream_from_fd(sockets[1], RS_STREAM_TWO_WAY, &in), 0);
	assert_int_equal(rs_param_set(source, "max-bandwidth", "0"), 0);
	assert_int_equal(rs_migrate_start_in(destination, in, &vm, NULL), 0);
	assert_int_equal(rs_migrate_out(source, out, &vm, NULL), 0);
	assert_int_equal(rs_migrate_wait(destination), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_memory_equal(here, there, REGIONS * REGION_BYTES);
	/* Nearly all was found without a touch; what is left of a run at the end of a body is too
	 * short to ask for. */
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_stats_get(source, &stats), 0);
	assert_int_equal(stats.normal, REGIONS);
	assert_int_equal(stats.duplicate, REGIONS * (REGION_BYTES / 4096 - 1));
	assert_true(stats.zero_run_pages > stats.duplicate / 2);
	rs_stream_close(out, NULL);
	rs_stream_close(in, NULL);
	rs_state_destroy(source);
	rs_state_destroy(destination);
	munmap(here, REGIONS * REGION_BYTES);
	munmap(there, REGIONS * REGION_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_migrate_with_few_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
