/* SPDX-License-Identifier: MIT */
#include "random_guest.h"

static uint32_t random_page_bytes(struct test_random *random)
{
	static const uint32_t sizes[] = { 4096, 4096, 4096, 16384, 16384, 65536, 65536, 1024 };

	return sizes[test_random_below(random, sizeof(sizes) / sizeof(sizes[0]))];
}

static enum guest_kind random_kind(struct test_random *random)
{
	if (test_random_one_in(random, 100))
		return GUEST_HUGETLB;
	return (enum guest_kind)test_random_below(random, GUEST_HUGETLB);
}

static unsigned random_logs(struct test_random *random, enum guest_kind kind, bool userfaultfd)
{
	unsigned logs = 0;

	if (userfaultfd && kind != GUEST_PRIVATE_FILE && test_random_one_in(random, 2))
		logs |= GUEST_LOG_USERFAULTFD;
	if (test_random_one_in(random, 2))
		logs |= GUEST_LOG_SHADOW;
	if (test_random_one_in(random, 2))
		logs |= GUEST_LOG_SHADOW_CLEAR;
	if (test_random_one_in(random, 4))
		logs |= GUEST_LOG_SHADOW_RANGES;
	return logs;
}

/* Any number of pages from one to some hundreds, small ones as likely as large ones. */
static uint64_t random_bytes(struct test_random *random, uint32_t page_bytes)
{
	uint64_t limit = 1 + ((1u << 20) / page_bytes >> test_random_below(random, 10));

	return (1 + test_random_below(random, limit)) * page_bytes;
}

static void random_region(struct test_random *random, uint32_t page_bytes, bool userfaultfd,
			  struct guest_region_spec *from, struct guest_region_spec *to)
{
	static const unsigned filled[] = { 0, 2, 50, 90, 100 };
	uint64_t granule_bytes = 1024ull << 2 * test_random_below(random, 4);
	uint64_t bytes = random_bytes(random, page_bytes);

	*from = (struct guest_region_spec){
		.kind = random_kind(random),
		.granule_bytes = granule_bytes,
		.filled_percent = filled[test_random_below(random, 5)],
	};
	*to = *from;
	if (test_random_one_in(random, 3))
		to->kind = random_kind(random);
	from->logs = random_logs(random, from->kind, userfaultfd);
	to->logs = random_logs(random, to->kind, userfaultfd);
	if (test_random_one_in(random, 2))
		to->flags |= RS_REGION_FRESH;
	to->announced = test_random_one_in(random, 8);
	from->used_bytes = to->used_bytes = from->max_bytes = to->max_bytes = bytes;
	if (to->announced || !test_random_one_in(random, 6))
		return;
	to->flags |= RS_REGION_RESIZABLE;
	to->used_bytes = random_bytes(random, page_bytes);
	to->max_bytes = bytes > to->used_bytes ? bytes : to->used_bytes;
}

void random_guest_specs(struct test_random *random, bool userfaultfd, struct guest_spec *from,
			struct guest_spec *to)
{
	*from = (struct guest_spec){
		.page_bytes = random_page_bytes(random),
		.region_count = 1 + (unsigned)test_random_below(random, 5),
		.writers = (unsigned)test_random_below(random, 4),
		.burst = (unsigned)test_random_below(random, 100) >> test_random_below(random, 8),
		.seed = test_random_next(random),
	};
	*to = *from;
	to->seed++;
	for (unsigned i = 0; i < from->region_count; i++)
		random_region(random, from->page_bytes, userfaultfd, &from->regions[i],
			      &to->regions[i]);
}
