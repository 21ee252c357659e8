/* SPDX-License-Identifier: MIT */
/* A migration that is cut, and what each such test needs. For cmocka tests. */
#ifndef RS_TESTS_CUT_FIXTURE_H
#define RS_TESTS_CUT_FIXTURE_H

#include "support/fake_stream.h"
#include "support/transfer.h"

#define CUT_PAGE_BYTES 4096u
#define CUT_RECORD_BYTES (4u << 20) /* longer than any of these migrations */
#define CUT_TAIL_BYTES 64u          /* at the end, where each byte matters */

struct cut_fixture {
	struct guest_world world;
	struct guest *from;
	struct test_random random;
	bool compress;  /* pages, set before it is opened */
	char text[256]; /* what differed when a destination ran */
	/* for messages: where the cut was */
	bool back;
	uint64_t at;
	int settling;
};

/* Everything that fails says where the cut was. */
#define cut_check(fixture, condition)                                                              \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("cut %s at byte %llu, settling %d: not so: %s",                   \
				 (fixture)->back ? "back" : "there",                               \
				 (unsigned long long)(fixture)->at, (fixture)->settling,           \
				 #condition);                                                      \
	} while (0)

/* The same source each time, down to the last byte that it sends: cuts are where they should be. */
void cut_open(struct cut_fixture *fixture);
void cut_close(struct cut_fixture *fixture);

struct guest *cut_new_destination(struct cut_fixture *fixture);

/* Over a fake connection; NULL options mean none. */
void cut_migrate(struct cut_fixture *fixture, struct guest *to, const struct fake_options *there,
		 const struct fake_options *back, struct transfer *transfer);

/* Exactly one end runs the guest, and it is whole. */
void cut_check_one_runs(struct cut_fixture *fixture, struct guest *to);

/* The source state is as good as before: it migrates to a new destination. */
void cut_move_on(struct cut_fixture *fixture);

#endif
