/* SPDX-License-Identifier: MIT */
#include "guest/pattern.h"
#include "guest/mix64.h"

#include <string.h>

/* Seeds that keep the page kinds apart; other values would make other pages. */
#define TEXT_SEED 0x74657874u
#define MIX_SEED 0x6d6978u

static const char *const words[64] = {
	"the",      "of",     "and",     "to",          "in",        "memory",   "page",
	"kernel",   "is",     "that",    "address",     "for",       "guest",    "with",
	"as",       "dirty",  "on",      "be",          "migration", "by",       "at",
	"this",     "table",  "from",    "or",          "device",    "an",       "which",
	"buffer",   "are",    "not",     "bitmap",      "was",       "channel",  "have",
	"value",    "stream", "process", "it",          "interrupt", "pointer",  "thread",
	"offset",   "return", "status",  "error",       "static",    "unsigned", "struct",
	"request",  "length", "source",  "destination", "virtual",   "machine",  "block",
	"queue",    "signal", "network", "timer",       "cache",     "copy",     "worker",
	"compress",
};

/* xorshift64* (Marsaglia; Vigna): state in *s, never 0. */
static uint64_t draw(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 2685821657736338717u;
}

static void fill_random(uint8_t *page, uint64_t index)
{
	uint64_t s = mix64(index * 2 + 1) | 1;

	for (size_t i = 0; i < PATTERN_PAGE_BYTES; i += sizeof(uint64_t)) {
		uint64_t v = draw(&s);

		memcpy(page + i, &v, sizeof(v));
	}
}

/* The digits of @number, last one first. */
static size_t put_number(char *out, uint32_t number)
{
	size_t n = 0;

	do {
		out[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return n;
}

/* A word, the smaller of two draws so that the first ones are frequent, or now and then a number.
 */
static size_t put_token(char *out, uint64_t v)
{
	unsigned a = (v >> 8) & 63;
	unsigned b = (v >> 16) & 63;
	const char *word = words[a < b ? a : b];
	size_t n;

	if ((v & 15) == 0)
		return put_number(out, (uint32_t)(v >> 32) % 100000);
	n = strlen(word);
	memcpy(out, word, n);
	return n;
}

static void fill_text(uint8_t *page, uint64_t index)
{
	uint64_t s = mix64(index ^ TEXT_SEED) | 1;
	size_t i = 0;

	while (i < PATTERN_PAGE_BYTES) {
		uint64_t v = draw(&s);
		char token[24];
		size_t n = put_token(token, v);

		token[n++] = ((v >> 24) & 15) ? ' ' : '\n';
		if (n > PATTERN_PAGE_BYTES - i)
			n = PATTERN_PAGE_BYTES - i;
		memcpy(page + i, token, n);
		i += n;
	}
}

static enum pattern pattern_of_page(enum pattern pattern, uint64_t index)
{
	static const enum pattern of[4] = { PATTERN_ZERO, PATTERN_ZERO, PATTERN_TEXT,
					    PATTERN_RANDOM };

	return pattern == PATTERN_MIX ? of[mix64(index ^ MIX_SEED) & 3] : pattern;
}

void pattern_fill(uint8_t *page, enum pattern pattern, uint64_t index)
{
	switch (pattern_of_page(pattern, index)) {
	case PATTERN_TEXT:
		fill_text(page, index);
		break;
	case PATTERN_RANDOM:
		fill_random(page, index);
		break;
	default:
		memset(page, 0, PATTERN_PAGE_BYTES);
	}
}

bool pattern_parse(const char *text, enum pattern *pattern)
{
	static const char *const names[] = { "zero", "text", "random", "mix" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]))
			continue;
		*pattern = (enum pattern)i;
		return true;
	}
	return false;
}
