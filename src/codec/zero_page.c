/* SPDX-License-Identifier: MIT */
#include "codec/zero_page.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_AVX2 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#define HAVE_NEON 1
#endif

/*
 * A line of 256 bytes is ORed together without a branch, which keeps enough loads in flight to
 * use the memory fully, and then decides. Most pages with data have some in their first line, so
 * that such a page costs one line.
 */
#define LINE_BYTES 256u

/*
 * Hardware prefetchers stop at the end of a page, so the start of each page would cost the full
 * latency of memory, and of a page table walk. The run test asks for the first cache line of the
 * page this far ahead, and decides by that line alone where it can. Measured: a random page is
 * rejected in about three quarters of the time.
 */
#define PREFETCH_BYTES 65536u

/* The guest writes while we read: see the header. */
#define RACY __attribute__((no_sanitize("thread")))

typedef uint64_t __attribute__((may_alias)) word;

/* Whether a bit of the line is set: byte order does not matter. */
RACY static bool is_zero_portable(const void *data, size_t bytes)
{
	const word *words = data;
	const word *end = words + bytes / sizeof(word);

	for (; words < end; words += LINE_BYTES / sizeof(word)) {
		word a = 0, b = 0, c = 0, d = 0;

		for (unsigned i = 0; i < LINE_BYTES / sizeof(word); i += 4) {
			a |= words[i];
			b |= words[i + 1];
			c |= words[i + 2];
			d |= words[i + 3];
		}
		if ((a | b | c | d) != 0)
			return false;
	}
	return true;
}

#ifdef HAVE_AVX2
RACY __attribute__((target("avx2"))) static bool is_zero_avx2(const void *data, size_t bytes)
{
	const __m256i *v = data;
	const __m256i *end = v + bytes / sizeof(*v);

	for (; v < end; v += LINE_BYTES / sizeof(*v)) {
		__m256i a = _mm256_or_si256(v[0], v[1]), b = _mm256_or_si256(v[2], v[3]);
		__m256i c = _mm256_or_si256(v[4], v[5]), d = _mm256_or_si256(v[6], v[7]);

		a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
		if (!_mm256_testz_si256(a, a))
			return false;
	}
	return true;
}
#endif

#ifdef HAVE_NEON
RACY static bool is_zero_neon(const void *data, size_t bytes)
{
	const uint8_t *line = data;
	const uint8_t *end = line + bytes;

	for (; line < end; line += LINE_BYTES) {
		uint8x16_t a = vdupq_n_u8(0), b = a, c = a, d = a;

		for (unsigned i = 0; i < LINE_BYTES; i += 64) {
			a = vorrq_u8(a, vld1q_u8(line + i));
			b = vorrq_u8(b, vld1q_u8(line + i + 16));
			c = vorrq_u8(c, vld1q_u8(line + i + 32));
			d = vorrq_u8(d, vld1q_u8(line + i + 48));
		}
		a = vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d));
		if (vmaxvq_u32(vreinterpretq_u32_u8(a)) != 0)
			return false;
	}
	return true;
}
#endif

/* What runs everywhere first, the fastest last. */
static const struct rs_is_zero_version versions[] = {
	{ "portable", is_zero_portable },
#ifdef HAVE_AVX2
	{ "avx2", is_zero_avx2 },
#endif
#ifdef HAVE_NEON
	{ "neon", is_zero_neon },
#endif
};

const struct rs_is_zero_version *rs_is_zero_versions(size_t *count)
{
	*count = sizeof(versions) / sizeof(versions[0]);
#ifdef HAVE_AVX2
	/* Reads a word that the program's start-up has filled in: cheap enough for every call. */
	if (!__builtin_cpu_supports("avx2"))
		*count -= 1;
#endif
	return versions;
}

static rs_is_zero_function *fastest(void)
{
	size_t count;
	const struct rs_is_zero_version *all = rs_is_zero_versions(&count);

	return all[count - 1].function;
}

bool rs_is_zero(const void *data, size_t bytes)
{
	return fastest()(data, bytes);
}

RACY static bool first_cache_line_is_zero(const unsigned char *page)
{
	const word *w = (const word *)page;

	return (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]) == 0;
}

size_t rs_zero_run_pages(const void *data, size_t pages, size_t page_bytes, bool want_zero)
{
	rs_is_zero_function *is_zero = fastest();
	const unsigned char *page = data;
	size_t ahead = page_bytes < PREFETCH_BYTES ? PREFETCH_BYTES / page_bytes : 1;

	for (size_t i = 0; i < pages; i++, page += page_bytes) {
		if (pages - i > ahead)
			__builtin_prefetch(page + ahead * page_bytes);
		bool zero = first_cache_line_is_zero(page) && is_zero(page, page_bytes);

		if (zero != want_zero)
			return i;
	}
	return pages;
}
