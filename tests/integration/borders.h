/* SPDX-License-Identifier: MIT */
/* Where the messages of a recorded migration begin and end: a native one, or a postcopy in either form. */
#ifndef RS_TESTS_BORDERS_H
#define RS_TESTS_BORDERS_H

#include <stddef.h>
#include <stdint.h>

struct borders {
	uint64_t at[4096];
	size_t count;
};

/* What went from source to destination, there on preempt's channel, and back. 0, or -EINVAL if it is no such stream. Record
 * headers, page contents and the parts of the frame around them all count as messages. */
int borders_of_source(struct borders *borders, const uint8_t *data, size_t bytes,
		      uint32_t page_bytes);
int borders_of_channel(struct borders *borders, const uint8_t *data, size_t bytes,
		       uint32_t page_bytes);
int borders_of_answers(struct borders *borders, const uint8_t *data, size_t bytes);

#endif
