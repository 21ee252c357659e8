/* SPDX-License-Identifier: MIT */
#include "guest/digest.h"
#include "guest/mix64.h"

#include <string.h>

#define FACTOR 0x9fb21c651e98df25u
/* Independent chains, or each word would wait for the multiplication of the one before. */
#define LANES 4

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

/* A bijection of @acc for each word and of the word for each @acc; 0 for 0 and 0. */
static uint64_t step(uint64_t acc, uint64_t word)
{
	return rotate(acc ^ word, 29) * FACTOR;
}

static uint64_t word_at(const uint8_t *data, size_t i)
{
	uint64_t word;

	memcpy(&word, data + i * sizeof(word), sizeof(word));
	return word;
}

uint64_t digest_words(const void *data, size_t words)
{
	const uint8_t *p = data;
	uint64_t lane[LANES] = { 0 };
	uint64_t acc = 0;
	size_t i = 0;

	for (; i + LANES <= words; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			lane[k] = step(lane[k], word_at(p, i + k));
	for (; i < words; i++)
		lane[i % LANES] = step(lane[i % LANES], word_at(p, i));
	for (size_t k = 0; k < LANES; k++)
		acc = step(acc, lane[k]);
	return acc ^ acc >> 32;
}

uint64_t digest_name(const char *name)
{
	uint64_t acc = 0;

	for (; *name; name++)
		acc = mix64(acc ^ (uint8_t)*name);
	return acc;
}

uint64_t digest_pages(const void *data, size_t bytes, uint64_t place, uint64_t index)
{
	const uint8_t *p = data;
	uint64_t sum = 0;

	for (size_t i = 0; i < bytes; i += DIGEST_PAGE_BYTES, index++) {
		uint64_t page = digest_words(p + i, DIGEST_PAGE_BYTES / sizeof(uint64_t));

		if (page)
			sum += mix64(page ^ mix64(place + index));
	}
	return sum;
}
