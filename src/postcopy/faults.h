/* SPDX-License-Identifier: MIT */
/*
 * The destination's memory while a guest runs on what has come of it: a userfaultfd owns every region, a
 * thread of ours takes the faults and has missing host pages asked for, and pages are placed atomically,
 * each once.
 *
 * Who may do what:
 *
 *	create, pause, resume, destroy	one thread, which sees to their order
 *	place				any thread; two at once never for the same host page
 *	ops.request			called in the fault thread, and in the one that calls resume
 */
#ifndef RS_POSTCOPY_FAULTS_H
#define RS_POSTCOPY_FAULTS_H

#include "ram/region.h"

struct rs_faults;

struct rs_fault_ops {
	/*
	 * Ask the source for whole host pages: [offset, offset + bytes). The fault waits for the first of them, or
	 * for none if they are what goes before it. What fails is not asked for again before resume. It must not
	 * call pause, resume or destroy, which wait for it.
	 */
	void (*request)(void *opaque, struct rs_region *region, uint64_t offset, uint64_t bytes);
	void *opaque;
};

/*
 * Before postcopy is promised: whether this kernel, this process and the memory of every listed region
 * allow it. 0, or a negative errno with a text that names the region: -EBUSY if the memory has another
 * userfaultfd already. Before the list of regions came, every region counts as listed.
 *
 * userfaultfd: the embedder's own, or -1. It must be set up (UFFDIO_API) and non-blocking, and be read by nobody
 * else from create to destroy. One for faults of user mode only is the embedder's choice to make; -1 never gives
 * one, as what the kernel does with missing memory (KVM, read(2)) would fail.
 */
int rs_faults_probe(struct rs_state *state, int userfaultfd, struct rs_error *error);

/*
 * Take over the memory of all listed regions; what of it was not received is missing from now on: the
 * memory there must have been emptied (see discard.h). The thread begins. The received bitmaps must exist.
 * The regions are pinned until destroy: rs_region_remove() fails the session, upon which the driver must destroy,
 * and waits for that. 0 or a negative errno with a text.
 */
int rs_faults_create(struct rs_state *state, int userfaultfd, const struct rs_fault_ops *ops,
		     struct rs_faults **faults, struct rs_error *error);

/* From now on nothing is asked for: faults just wait. Returns when no request is under way: if one may be stuck in
 * a stream, shut that first. */
void rs_faults_pause(struct rs_faults *faults);

/* A new connection: ask for every page that a fault waits for, and go on. */
void rs_faults_resume(struct rs_faults *faults);

/*
 * Where the content of host pages at offset may be put before they are placed: behind an alias that the
 * guest does not see. NULL if the region has none of use; then the content comes from elsewhere.
 */
uint8_t *rs_faults_staging(struct rs_faults *faults, struct rs_region *region, uint64_t offset);

/*
 * Give host pages [offset, offset + bytes) their content, mark them as received, and let those that wait
 * for them go on. data: the content, or NULL for zeros; what rs_faults_staging() gave is not copied
 * again. None of the pages may have been received before, and nobody may discard them before they are (a balloon
 * must wait). 0 or a negative errno with a text.
 */
int rs_faults_place(struct rs_faults *faults, struct rs_region *region, uint64_t offset,
		    uint64_t bytes, const uint8_t *data, struct rs_error *error);

/*
 * End the thread and give the memory back. Whoever still waits for a page that never came goes on, and finds
 * zeros. NULL is allowed.
 */
void rs_faults_destroy(struct rs_faults *faults);

#endif
