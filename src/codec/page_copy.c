/* SPDX-License-Identifier: MIT */
#include "codec/page_copy.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>

/* Whole cache lines, so that the processor can send each of them to memory in one piece. */
#define LINE_BYTES 64u

/* Shorter ones are not worth the fence. */
#define LEAST_BYTES 2048u

static void copy_lines(__m128i *to, const __m128i *from, size_t lines)
{
	for (; lines > 0; lines--, to += 4, from += 4) {
		__m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
		__m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);

		_mm_stream_si128(to, a);
		_mm_stream_si128(to + 1, b);
		_mm_stream_si128(to + 2, c);
		_mm_stream_si128(to + 3, d);
	}
	/* These stores are ordered with nothing, not even with a lock that is released later. */
	_mm_sfence();
}

void rs_page_copy(void *to, const void *from, size_t bytes)
{
	unsigned char *out = to;
	const unsigned char *in = from;
	size_t before = -(uintptr_t)out % LINE_BYTES;

	if (bytes < LEAST_BYTES) {
		memcpy(out, in, bytes);
		return;
	}
	size_t lines = (bytes - before) / LINE_BYTES;
	size_t done = before + lines * LINE_BYTES;

	memcpy(out, in, before);
	copy_lines((__m128i *)(void *)(out + before), (const __m128i *)(const void *)(in + before),
		   lines);
	memcpy(out + done, in + done, bytes - done);
}

#else

void rs_page_copy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

#endif
