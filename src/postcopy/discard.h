/* SPDX-License-Identifier: MIT */
/* Making memory of a region what it was before anything was put there, at the destination: the next access
 * faults. */
#ifndef RS_POSTCOPY_DISCARD_H
#define RS_POSTCOPY_DISCARD_H

#include "ram/region.h"
#include "wire/postcopy.h"

/*
 * Before pages come: empty the used part of the region, and keep the kernel from populating more of it than is
 * asked for. All of it is zero then (zero_until_written). 0, or a negative errno with a text that names the
 * region: -EINVAL if it is no whole pages, or if what is beneath would show. Call rs_faults_probe() before: shared
 * memory is emptied for all who map it, and a file on disk would be.
 */
int rs_discard_region(struct rs_region *region, struct rs_error *error);

/*
 * Host pages [start, start + bytes) came, but have changed since: they are not received any more. The range
 * is checked: -EINVAL if it is no whole host pages inside the region. 0 or a negative errno with a text.
 */
int rs_discard_pages(struct rs_region *region, uint64_t start, uint64_t bytes,
		     struct rs_error *error);

/* The same for many ranges, which costs less than one by one. All are checked before any is discarded. */
int rs_discard_ranges(struct rs_region *region, const struct rs_byte_range *ranges, size_t count,
		      struct rs_error *error);

#endif
