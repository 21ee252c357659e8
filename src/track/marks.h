/* SPDX-License-Identifier: MIT */
/*
 * Software marks: a bitmap that writers set by hand, for writes that no dirty log of the kernel
 * sees. The writer stores its data and then marks the page; the reader harvests the marks and then
 * reads the pages. Three orders make this safe. They are explained here once.
 *
 * 1. Writer against reader. The writer does
 *
 *	store data;  fence;  test the bit;  set it if it is clear
 *
 *    and the reader
 *
 *	clear the bit (exchange);  fence;  read data
 *
 *    Most marks hit a bit that is set already, and a test costs a fraction of an atomic OR. But
 *    the test may skip the OR only because of the fences. Without the writer's, the processor may
 *    do the test while the store still waits in its store buffer: it sees the bit set, the reader
 *    clears the bit and reads the old data, and then the store lands. Nothing marks that page
 *    again: a write is lost (measured on x86: one in ten thousand). With both fences, either the
 *    reader sees the data, or the writer's test comes after the clearing and sees the bit clear,
 *    or set by a later mark. In each case the data reaches a reader: now, or after the next
 *    harvest.
 *
 * 2. Start against marks. rs_marks_start() sets the flag, then fences. A writer that is on its way
 *    reads the flag after its own fence. If it still finds "off" and drops its mark, then its
 *    store came before the starter's fence, and every read after rs_marks_start() sees the data.
 *    So the rule for the caller: start first, then treat every page as dirty. A mark that begins
 *    after rs_marks_start() returned is never dropped.
 *
 * 3. Stop against marks. Whoever read "on" just before may still set bits after rs_marks_stop().
 *    The words stay mapped until fini, so that is harmless: a leftover bit makes one page of the
 *    next period dirty that is dirty anyway, because of rule 2.
 *
 * Calls:		any thread, signal handlers	one thread at a time
 *			rs_marks_set_range		start, stop, harvest
 * init and fini exclude everything else.
 */
#ifndef RS_TRACK_MARKS_H
#define RS_TRACK_MARKS_H

#include "base/bitmap.h"

struct rs_marks {
	struct rs_bitmap bits;
	_Atomic bool enabled;
};

/* Off, all clear. 0 or -ENOMEM. */
int rs_marks_init(struct rs_marks *marks, uint64_t bits);
void rs_marks_fini(struct rs_marks *marks);

void rs_marks_start(struct rs_marks *marks);
/* Also gives the memory of the bitmap back. */
void rs_marks_stop(struct rs_marks *marks);

/*
 * Mark [first, first + count), a range inside the bitmap, whose data the caller has stored already.
 * Wait-free: at most one atomic OR a word.
 */
void rs_marks_set_range(struct rs_marks *marks, uint64_t first, uint64_t count);

/*
 * Move all marks into another bitmap, which has at least as many bits. Returns how many bits
 * that set there. Pages may be read as soon as it returned.
 */
uint64_t rs_marks_harvest(struct rs_marks *marks, struct rs_bitmap *into);

#endif
