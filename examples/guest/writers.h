/* SPDX-License-Identifier: MIT */
/*
 * The vCPUs of the stand-in: threads that go round the working set, each over its own pages, and
 * make real stores. Before a page is written again it is verified, so that a page which a migration
 * lost, left old or tore is found by the guest itself.
 *
 * The sequence number that a page must have follows from how many pages its writer has written.
 * So this one number a writer is all the device state there is.
 *
 * Threads: create, verify, steps and destroy need parked writers. stop, resume and the rest may be
 * called by any thread.
 */
#ifndef EXAMPLES_WRITERS_H
#define EXAMPLES_WRITERS_H

#include "guest/workset.h"

#define WRITERS_MAX 1024u

struct writers_config {
	unsigned count;
	uint64_t dirty_rate;    /* pages a second, all writers together; 0: as fast as they can */
	bool mark;              /* call rs_dirty_mark() after each store */
	struct rs_state *state; /* where the writers' threads are known as vCPUs; or NULL */
};

struct writers;

/*
 * Make parked writers. @steps says how far each has got; NULL begins anew and writes every page of
 * the working set once. Takes *@set on success.
 */
int writers_create(const struct writers_config *config, struct workset *set, const uint64_t *steps,
		   struct writers **writers, struct rs_error *error);

/* Stops the threads; NULL is allowed. */
void writers_destroy(struct writers *writers);

/* Park all writers; when it returns nothing writes any more. */
void writers_stop(struct writers *writers);
void writers_resume(struct writers *writers);

/* Verify every page of the working set. A fault is kept as one of a writer is. */
void writers_verify(struct writers *writers);

/* The first fault that was found, as a sentence. False if there was none. */
bool writers_fault(struct writers *writers, struct rs_error *error);

/* Descriptor that is readable once there is a fault. */
int writers_fault_fd(const struct writers *writers);

/* Pages written since the writers were created. */
uint64_t writers_written(const struct writers *writers);

const struct writers_config *writers_config(const struct writers *writers);
const struct workset *writers_workset(const struct writers *writers);
/* Pages that writer @index has written in all, at the source and here. */
uint64_t writers_steps(const struct writers *writers, unsigned index);

#endif
