/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a run of dirty pages: never populated, zero, or content; each part becomes the
 * record that costs least.
 */
#ifndef RS_SAVE_PAGE_PIPELINE_H
#define RS_SAVE_PAGE_PIPELINE_H

#include "save/save.h"

/* Longest run that is taken at once: 128 MiB of 4 KiB pages. Its population is asked for in one
 * system call; what is not sent in the end is put back. */
#define RS_PIPELINE_RUN_PAGES 32768u

/*
 * Write a run. 0: all of it; 1: the body's limit of bytes or time was reached, and the rest
 * put back into the cursor.
 */
int rs_pipeline_send(struct rs_save *save, const struct rs_page_run *run);

#endif
