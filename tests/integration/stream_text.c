/* SPDX-License-Identifier: MIT */
#include "integration/stream_text.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Regions are those of odd_streams.h: a of four pages, b of two that may become four. */
struct piece {
	const char *name;
	const char *text;
};

static const struct piece pieces[] = {
	{ "magic", "t:QEVM u32:3" },
	{ "qemu", "magic u8:7 u32:d t:pc-i440fx-7.2" },
	{ "ramsync", "magic u8:7 u32:7 t:ramsync" },
	/* Features and the command that offers them. */
	{ "f-session", "u16:1 u16:18 s:session t:0123456789abcdef" },
	{ "f-runs", "u16:2 u16:5 s:runs" },
	{ "f-lengths", "u16:3 u16:f s:device-lengths" },
	{ "f-handover", "u16:4 u16:9 s:handover" },
	{ "offer", "u8:8 u16:5253" },
	{ "native", "ramsync offer u16:38 f-session f-runs f-lengths" },
	{ "native-plain", "ramsync offer u16:2f f-session f-lengths" },
	{ "two-way", "ramsync offer u16:45 f-session f-runs f-lengths f-handover" },
	{ "check", "u8:8 u16:5254 u16:0" },
	{ "commit", "u8:8 u16:5255 u16:0" },
	/* Sections; START and FULL of the id that the piece names. */
	{ "start", "u8:1 u32:2 s:ram u32:0 u32:4" },
	{ "part", "u8:2 u32:2" },
	{ "end", "u8:3 u32:2" },
	{ "foot", "u8:7e u32:2" },
	{ "eof", "u8:0" },
	/* A device whose body is four bytes. */
	{ "cpu", "u8:4 u32:3 s:cpu u32:0 u32:1" },
	{ "device", "cpu u64:4 t:four u8:7e u32:3" },
	{ "qemu-device", "cpu t:four u8:7e u32:3" },
	/* RAM. */
	{ "eos", "u64:10" },
	{ "entry-a", "s:a u64:4000" },
	{ "entry-b", "s:b u64:2000" },
	{ "list", "u64:6004 entry-a entry-b" },
	{ "zero-a", "u64:2 s:a u8:0" },
	{ "page-a", "u64:8 s:a fill:4096*5a" },
	/* All pages, as odd_streams.h has them before. */
	{ "pages-a", "u64:8 s:a fill:4096*11 u64:1028 fill:4096*11 u64:2028 fill:4096*11 "
		     "u64:3028 fill:4096*11" },
	{ "pages-b", "u64:8 s:b fill:4096*11 u64:1028 fill:4096*11" },
	/* Whole and well. */
	{ "setup", "start list pages-a pages-b eos foot" },
	{ "ram", "setup part zero-a eos foot end eos foot" },
};

/*
 * What a QEMU with 16 KiB of RAM called a takes for the same. Its table-loader has one page, which the
 * list makes two of, and may grow.
 */
static const struct piece qemu_pieces[] = {
	{ "s:b", "s:/rom@etc/table-loader" },
	{ "qemu-device", "u8:4 u32:3 s:cpu_common u32:0 u32:1 u64:0 u8:7e u32:3" },
};

void stream_add(struct stream_bytes *stream, const void *data, size_t bytes)
{
	stream->data = realloc(stream->data, stream->bytes + bytes + 1);
	assert_non_null(stream->data);
	memcpy(stream->data + stream->bytes, data, bytes);
	stream->bytes += bytes;
}

void stream_free(struct stream_bytes *stream)
{
	free(stream->data);
	*stream = (struct stream_bytes){ 0 };
}

static void add_number(struct stream_bytes *stream, unsigned bits, const char *digits)
{
	uint8_t bytes[8];
	char *end;

	rs_put_be64(bytes, strtoull(digits, &end, 16));
	assert_true(end != digits && *end == '\0');
	stream_add(stream, bytes + 8 - bits / 8, bits / 8);
}

static void add_string(struct stream_bytes *stream, const char *text, size_t length, int counted)
{
	uint8_t count = (uint8_t)length;

	assert_in_range(length, 0, 255);
	if (counted)
		stream_add(stream, &count, 1);
	for (size_t i = 0; i < length; i++) {
		char letter = text[i % strlen(text)];

		stream_add(stream, letter == '~' ? "" : &letter, 1);
	}
}

static void add_bytes(struct stream_bytes *stream, const char *digits)
{
	unsigned value;

	assert_int_equal(strlen(digits) % 2, 0);
	for (; *digits != '\0'; digits += 2) {
		assert_int_equal(sscanf(digits, "%2x", &value), 1);
		stream_add(stream, &(uint8_t){ (uint8_t)value }, 1);
	}
}

static void add_fill(struct stream_bytes *stream, const char *text)
{
	char *end;
	unsigned long count = strtoul(text, &end, 10);
	uint8_t value;

	assert_true(*end == '*');
	value = (uint8_t)strtoul(end + 1, NULL, 16);
	while (count-- > 0)
		stream_add(stream, &value, 1);
}

static const char *find(const struct piece *piece, size_t count, const char *name)
{
	for (; count > 0; piece++, count--)
		if (strcmp(piece->name, name) == 0)
			return piece->text;
	return NULL;
}

#define FIND(pieces, name) find(pieces, sizeof(pieces) / sizeof((pieces)[0]), name)

static void add_word(struct stream_bytes *stream, const char *word)
{
	const char *text = stream->for_qemu ? FIND(qemu_pieces, word) : NULL;

	if (text == NULL)
		text = FIND(pieces, word);
	if (text != NULL) {
		stream_text(stream, text);
		return;
	}
	const char *colon = strchr(word, ':');

	if (colon == NULL)
		fail_msg("'%s' is no piece of a stream", word);
	else if (word[0] == 'u')
		add_number(stream, (unsigned)atoi(word + 1), colon + 1);
	else if (word[0] == 'h')
		add_bytes(stream, colon + 1);
	else if (word[0] == 's' || word[0] == 't')
		add_string(stream, colon + 1, strlen(colon + 1), word[0] == 's');
	else if (word[0] == 'n')
		add_string(stream, strchr(word, '*') + 1, (size_t)atoi(colon + 1), 1);
	else
		add_fill(stream, colon + 1);
}

void stream_text(struct stream_bytes *stream, const char *text)
{
	char *copy = strdup(text), *rest = copy, *word;

	assert_non_null(copy);
	while ((word = strsep(&rest, " ")) != NULL)
		if (*word != '\0')
			add_word(stream, word);
	free(copy);
}
