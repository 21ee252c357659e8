/* SPDX-License-Identifier: MIT */
#include "text/utf8.h"

#include <stdint.h>

/* What the first byte of a character says of its length; 0 if it is none. */
static size_t length_of(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc0)
		return 0;
	if (first < 0xe0)
		return 2;
	if (first < 0xf0)
		return 3;
	return first < 0xf8 ? 4 : 0;
}

/* The value of @bytes bytes at @text as one character, if they are one. */
static int decode(const unsigned char *text, size_t bytes, uint32_t *value)
{
	static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };

	*value = text[0] & masks[bytes];
	for (size_t i = 1; i < bytes; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*value = *value << 6 | (text[i] & 0x3fu);
	}
	return 1;
}

size_t utf8_printable(const char *text)
{
	/* The least value of so many bytes: less would be a second spelling. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *at = (const unsigned char *)text;
	size_t bytes = length_of(at[0]);
	uint32_t value;

	if (!bytes || !decode(at, bytes, &value) || value < least[bytes] || value > 0x10ffff)
		return 0;
	if (value < 0x20 || (value >= 0x7f && value < 0xa0) || (value >= 0xd800 && value < 0xe000))
		return 0;
	return bytes;
}

void utf8_print(FILE *out, const char *text)
{
	while (*text) {
		size_t bytes = utf8_printable(text);

		if (bytes) {
			fwrite(text, 1, bytes, out);
			text += bytes;
		} else {
			fprintf(out, "\\x%02x", (unsigned char)*text++);
		}
	}
}

void utf8_report(const char *program, const char *what, const char *text)
{
	fprintf(stderr, "%s: %s%s", program, what ? what : "", what ? ": " : "");
	utf8_print(stderr, text);
	fputc('\n', stderr);
}
