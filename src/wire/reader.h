/* SPDX-License-Identifier: MIT */
/*
 * A cursor over bytes at hand, for parsers that are called again with more until they have enough.
 * Once the bytes run out it stays where it is and keeps how many would have been needed.
 */
#ifndef RS_WIRE_READER_H
#define RS_WIRE_READER_H

#include <stddef.h>
#include <stdint.h>

struct rs_reader {
	const uint8_t *at;
	size_t left;
	size_t taken;
	size_t need; /* 0: all was there so far */
};

/* The next bytes. Once they have run out: eight zeros, so that a number may be read from them
 * unseen; whoever takes more than that looks at need first. */
static inline const uint8_t *rs_reader_take(struct rs_reader *reader, size_t bytes)
{
	static const uint8_t nothing[8];

	if (reader->need != 0)
		return nothing;
	if (reader->left < bytes) {
		reader->need = reader->taken + bytes;
		return nothing;
	}
	reader->at += bytes;
	reader->left -= bytes;
	reader->taken += bytes;
	return reader->at - bytes;
}

#endif
