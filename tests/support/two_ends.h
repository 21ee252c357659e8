/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a migration in one process: two states with regions "a" and "b" of equal length, a
 * connection between them, and a VM with a journal at each.
 */
#ifndef RS_TESTS_TWO_ENDS_H
#define RS_TESTS_TWO_ENDS_H

#include "support/fake_stream.h"
#include "support/journal_vm.h"

#define TWO_ENDS_PAGES 64u /* of each region */
#define TWO_ENDS_REGIONS 2u

struct end {
	struct rs_state *state;
	struct rs_stream *stream;
	struct journal_vm vm;
	uint8_t *memory[TWO_ENDS_REGIONS];
	struct rs_region *regions[TWO_ENDS_REGIONS];
	int result;
};

struct two_ends {
	uint64_t page_bytes;
	struct end source;
	struct end destination;
};

/* The source's memory: some pages with content, some zero, some never populated. */
void two_ends_open(struct two_ends *ends, uint32_t page_bytes);
void two_ends_close(struct two_ends *ends);

/* A new connection; NULL options mean none. The last one is closed. */
void two_ends_connect(struct two_ends *ends, const struct fake_options *there,
		      const struct fake_options *back);
void two_ends_connect_one_way(struct two_ends *ends, const struct fake_options *there);

/*
 * Run a whole migration: the destination in a thread of its own, the source here. Each closes its
 * stream when it is done, so that the other comes to an end in any case. Results are in the
 * ends. Journals begin anew.
 */
void two_ends_migrate(struct two_ends *ends);

/* Whether the memory of both is the same. */
bool two_ends_equal(const struct two_ends *ends);

/* The text of an end's migration error; valid until the next call in this thread. */
const char *end_error(const struct end *end);

#endif
