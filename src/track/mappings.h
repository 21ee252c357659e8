/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says that a range of this process's memory is: the lines of /proc/self/maps
 * that cover it. Whoever must know how memory behaves asks here, not the embedder: a wrong flag in
 * a region's description may cost speed, but never a page.
 */
#ifndef RS_TRACK_MAPPINGS_H
#define RS_TRACK_MAPPINGS_H

#include <stddef.h>
#include <stdint.h>

/*
 * RS_MAPPING_UNKNOWN: nothing mapped, a special mapping, or one that changed while it was read.
 * RS_MAPPING_ANONYMOUS: private, with no file beneath.
 * RS_MAPPING_PRIVATE_FILE: pages of a file, until they are written.
 * RS_MAPPING_SHARED_FILE: a file's own pages; shared anonymous memory and memfds are that, too.
 */
enum rs_mapping_kind {
	RS_MAPPING_UNKNOWN,
	RS_MAPPING_ANONYMOUS,
	RS_MAPPING_PRIVATE_FILE,
	RS_MAPPING_SHARED_FILE,
};

struct rs_mapping {
	uintptr_t start;
	uintptr_t end; /* exclusive */
	enum rs_mapping_kind kind;
	/* of a file, else 0 */
	uint64_t device; /* as in st_dev */
	uint64_t inode;
	uint64_t file_offset; /* of the byte at start */
};

/*
 * The mappings that make up [start, end), in order and without a gap. *mappings is the
 * caller's, for free(). -ENOMEM, or the errno of opening /proc/self/maps.
 */
int rs_mappings_read(uintptr_t start, uintptr_t end, struct rs_mapping **mappings, size_t *count);

#endif
