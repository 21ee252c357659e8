/* SPDX-License-Identifier: MIT */
/* Pages in postcopy, where the guest does not run: zero or in full, each unit by itself (page_claim.h). */
#ifndef RS_SAVE_WHOLE_PAGES_H
#define RS_SAVE_WHOLE_PAGES_H

#include "ram/page_cursor.h"
#include "ram/population.h"
#include "save/record_writer.h"

/* Write a run of whole units, and count it. The region must stay pinned until the next flush. */
void rs_whole_pages_write(struct rs_record_writer *writer, struct rs_population_slot *slot,
			  const struct rs_page_run *run);

#endif
