/* SPDX-License-Identifier: MIT */
#include "codec/noise.h"

#include <string.h>

#define VALUES 256u

/* Of random bytes the sum below is 1 on average, and 1.08 is three and a half standard deviations away
 * even for 1 KiB. Bytes of which it is that have at least 7.9 bits of information each: a 1 % gain, which
 * the table of codes costs. */
#define UNEVEN 1.08

/* A word that is seen again for each so many bytes of the page is a gain of about a percent. */
#define BYTES_PER_REPEAT 512u

#define SEEN_BITS 10u

/* Most pages show after a few bytes that they are no noise. */
#define PROBE_BYTES 1024u
#define CLEARLY_UNEVEN 1.5

struct census {
	/* Four of each, so that equal neighbours do not wait for each other. */
	uint16_t count[4][VALUES];
	uint32_t seen[1u << SEEN_BITS]; /* the last word for each hash */
	unsigned repeats;
};

static void count_word(struct census *census, uint32_t word)
{
	uint32_t *seen = &census->seen[word * 2654435761u >> (32 - SEEN_BITS)];

	for (unsigned i = 0; i < 4; i++)
		census->count[i][word >> 8 * i & 0xff]++;
	census->repeats += *seen == word;
	*seen = word;
}

/* How often two bytes of the page are equal, over how often those of noise are. */
static double unevenness(const struct census *census, size_t bytes)
{
	uint64_t pairs = 0;

	for (unsigned value = 0; value < VALUES; value++) {
		uint64_t count = 0;

		for (unsigned i = 0; i < 4; i++)
			count += census->count[i][value];
		pairs += count * (count - 1);
	}
	return (double)pairs * VALUES / ((double)bytes * (double)(bytes - 1));
}

static void count_bytes(struct census *census, const uint8_t *page, size_t from, size_t to)
{
	for (size_t at = from; at < to; at += sizeof(uint32_t)) {
		uint32_t word;

		memcpy(&word, page + at, sizeof(word));
		count_word(census, word);
	}
}

bool rs_looks_like_noise(const uint8_t *page, size_t bytes)
{
	struct census census = { .repeats = 0 };

	count_bytes(&census, page, 0, PROBE_BYTES);
	if (unevenness(&census, PROBE_BYTES) > CLEARLY_UNEVEN)
		return false;
	count_bytes(&census, page, PROBE_BYTES, bytes);
	return census.repeats < bytes / BYTES_PER_REPEAT && unevenness(&census, bytes) < UNEVEN;
}
