/* SPDX-License-Identifier: MIT */
#include "codec/xbzrle.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86 1
#endif

/*
 * The pages are compared in blocks of 64 bytes, each of which becomes a mask with a bit for each byte
 * that differs. Runs are runs of bits then, and a run costs a count of zeros, however many there are in
 * a block. Equal blocks, most of a page mostly, are passed over in longer steps.
 */
#define BLOCK_BYTES 64u
#define SHORT_BYTES 16u

typedef uint64_t mask_function(const uint8_t *old, const uint8_t *new);
typedef size_t skip_function(const uint8_t *old, const uint8_t *new, size_t at, size_t end);

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* ---- the delta ----------------------------------------------------------------------------- */

struct writer {
	const uint8_t *page;
	size_t page_bytes;
	uint8_t *delta;
	size_t used;
	size_t limit;
	size_t end; /* of the last run of different bytes */
};

/* A run begins only where two bytes are left for its length: QEMU's rule, also for one byte. */
static ALWAYS_INLINE bool has_room(const struct writer *writer)
{
	return writer->used + 2 <= writer->limit;
}

static ALWAYS_INLINE void put_length(struct writer *writer, size_t length)
{
	if (length < 0x80) {
		writer->delta[writer->used++] = (uint8_t)length;
		return;
	}
	writer->delta[writer->used++] = (uint8_t)(length | 0x80);
	writer->delta[writer->used++] = (uint8_t)(length >> 7);
}

/* Bytes from the last run up to [from, to) are the same, and those are different. */
static bool put_runs(struct writer *writer, size_t from, size_t to)
{
	size_t length = to - from;

	if (!has_room(writer))
		return false;
	put_length(writer, from - writer->end);
	if (!has_room(writer) || (length < 0x80 ? 1 : 2) + length > writer->limit - writer->used)
		return false;
	put_length(writer, length);
	memcpy(writer->delta + writer->used, writer->page + from, length);
	writer->used += length;
	writer->end = to;
	return true;
}

/* The same for short ones, which most are: a copy of fixed length is a load and a store. What is copied
 * too much is overwritten later, or lies behind the end of the delta. */
static ALWAYS_INLINE bool put_short_runs(struct writer *writer, size_t from, size_t to)
{
	size_t same = from - writer->end, length = to - from;
	uint8_t *delta = writer->delta + writer->used;

	if ((same >= 0x80) | (length > SHORT_BYTES) | (from + SHORT_BYTES > writer->page_bytes) |
	    (writer->used + 2 + SHORT_BYTES > writer->limit))
		return put_runs(writer, from, to);
	delta[0] = (uint8_t)same;
	delta[1] = (uint8_t)length;
	memcpy(delta + 2, writer->page + from, SHORT_BYTES);
	writer->used += 2 + length;
	writer->end = to;
	return true;
}

/* Behind the last difference there may be room for less than the length of a run: QEMU gives up then. */
static int finish(const struct writer *writer)
{
	if (writer->end < writer->page_bytes && !has_room(writer))
		return RS_XBZRLE_OVERFLOW;
	return (int)writer->used;
}

static ALWAYS_INLINE int encode(const uint8_t *old, const uint8_t *new, size_t page_bytes,
				uint8_t *delta, size_t limit, mask_function *mask_of,
				skip_function *skip)
{
	struct writer writer = {
		.page = new,
		.page_bytes = page_bytes,
		.delta = delta,
		.limit = limit,
	};
	bool open = false; /* a run of different bytes reached the end of the last block */
	size_t from = 0;   /* its beginning */

	for (size_t block = 0;; block += BLOCK_BYTES) {
		if (!open)
			block = skip(old, new, block, page_bytes);
		if (block >= page_bytes)
			break;
		uint64_t mask = mask_of(old + block, new + block);

		if (open) {
			if (mask == ~0ull)
				continue;
			unsigned end = (unsigned)__builtin_ctzll(~mask);

			open = false;
			if (!put_runs(&writer, from, block + end))
				return RS_XBZRLE_OVERFLOW;
			mask &= ~0ull << end;
		}
		while (mask != 0) {
			uint64_t lowest = mask & -mask;
			uint64_t rest = mask + lowest; /* 0: the run has the last bit */

			from = block + (unsigned)__builtin_ctzll(mask);
			if (rest == 0) {
				open = true;
				break;
			}
			if (!put_short_runs(&writer, from, block + (unsigned)__builtin_ctzll(rest)))
				return RS_XBZRLE_OVERFLOW;
			mask &= rest;
		}
	}
	if (open && !put_runs(&writer, from, page_bytes))
		return RS_XBZRLE_OVERFLOW;
	return finish(&writer);
}

/* ---- the versions -------------------------------------------------------------------------- */

static ALWAYS_INLINE uint64_t load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Bit n is whether byte n, in the order of memory, is not zero. */
static ALWAYS_INLINE uint64_t bytes_set(uint64_t word)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7full;
	uint64_t high_bits = (((word & low) + low) | word) & ~low;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	high_bits = __builtin_bswap64(high_bits);
#endif
	return high_bits * 0x0002040810204081ull >> 56;
}

static ALWAYS_INLINE uint64_t mask_portable(const uint8_t *old, const uint8_t *new)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < BLOCK_BYTES; i += 8)
		mask |= bytes_set(load(old + i) ^ load(new + i)) << i;
	return mask;
}

static ALWAYS_INLINE size_t skip_portable(const uint8_t *old, const uint8_t *new, size_t at,
					  size_t end)
{
	for (; at < end; at += BLOCK_BYTES) {
		uint64_t differ = 0;

		for (unsigned i = 0; i < BLOCK_BYTES; i += 8)
			differ |= load(old + at + i) ^ load(new + at + i);
		if (differ != 0)
			break;
	}
	return at;
}

static int encode_portable(const uint8_t *old, const uint8_t *new, size_t page_bytes,
			   uint8_t *delta, size_t limit)
{
	return encode(old, new, page_bytes, delta, limit, mask_portable, skip_portable);
}

#ifdef HAVE_X86
#define AVX2 __attribute__((target("avx2,bmi")))
#define AVX512 __attribute__((target("avx512bw,bmi")))

AVX2 static ALWAYS_INLINE __m256i differ_avx2(const uint8_t *old, const uint8_t *new)
{
	return _mm256_xor_si256(_mm256_loadu_si256((const void *)old),
				_mm256_loadu_si256((const void *)new));
}

AVX2 static ALWAYS_INLINE uint64_t mask_avx2(const uint8_t *old, const uint8_t *new)
{
	const __m256i zero = _mm256_setzero_si256();
	__m256i low = _mm256_cmpeq_epi8(differ_avx2(old, new), zero);
	__m256i high = _mm256_cmpeq_epi8(differ_avx2(old + 32, new + 32), zero);

	return ~((uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32 |
		 (uint32_t)_mm256_movemask_epi8(low));
}

AVX2 static ALWAYS_INLINE size_t skip_avx2(const uint8_t *old, const uint8_t *new, size_t at,
					   size_t end)
{
	for (; at + 2 * BLOCK_BYTES <= end; at += 2 * BLOCK_BYTES) {
		__m256i a = _mm256_or_si256(differ_avx2(old + at, new + at),
					    differ_avx2(old + at + 32, new + at + 32));
		__m256i b = _mm256_or_si256(differ_avx2(old + at + 64, new + at + 64),
					    differ_avx2(old + at + 96, new + at + 96));
		__m256i both = _mm256_or_si256(a, b);

		if (_mm256_testz_si256(both, both))
			continue;
		return _mm256_testz_si256(a, a) ? at + BLOCK_BYTES : at;
	}
	return at;
}

AVX2 static int encode_avx2(const uint8_t *old, const uint8_t *new, size_t page_bytes,
			    uint8_t *delta, size_t limit)
{
	return encode(old, new, page_bytes, delta, limit, mask_avx2, skip_avx2);
}

AVX512 static ALWAYS_INLINE uint64_t mask_avx512(const uint8_t *old, const uint8_t *new)
{
	return _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(old), _mm512_loadu_si512(new));
}

AVX512 static ALWAYS_INLINE size_t skip_avx512(const uint8_t *old, const uint8_t *new, size_t at,
					       size_t end)
{
	for (; at + 2 * BLOCK_BYTES <= end; at += 2 * BLOCK_BYTES) {
		uint64_t a = mask_avx512(old + at, new + at);
		uint64_t b = mask_avx512(old + at + BLOCK_BYTES, new + at + BLOCK_BYTES);

		if ((a | b) == 0)
			continue;
		return a == 0 ? at + BLOCK_BYTES : at;
	}
	return at;
}

AVX512 static int encode_avx512(const uint8_t *old, const uint8_t *new, size_t page_bytes,
				uint8_t *delta, size_t limit)
{
	return encode(old, new, page_bytes, delta, limit, mask_avx512, skip_avx512);
}
#endif

/* What runs everywhere first, the fastest last. */
static const struct rs_xbzrle_version versions[] = {
	{ "portable", encode_portable },
#ifdef HAVE_X86
	{ "avx2", encode_avx2 },
	{ "avx512bw", encode_avx512 },
#endif
};

const struct rs_xbzrle_version *rs_xbzrle_versions(size_t *count)
{
	*count = sizeof(versions) / sizeof(versions[0]);
#ifdef HAVE_X86
	if (!__builtin_cpu_supports("avx512bw"))
		*count -= 1;
	if (!__builtin_cpu_supports("avx2"))
		*count -= 1;
#endif
	return versions;
}

int rs_xbzrle_encode(const uint8_t *old, const uint8_t *new, size_t page_bytes, uint8_t *delta,
		     size_t limit)
{
	size_t count;
	const struct rs_xbzrle_version *all = rs_xbzrle_versions(&count);

	return all[count - 1].encode(old, new, page_bytes, delta, limit);
}

/* ---- back ---------------------------------------------------------------------------------- */

struct reader {
	const uint8_t *delta;
	size_t at;
	size_t bytes;
};

/* A run's length, or -1. Each is followed by at least one byte. */
static int get_length(struct reader *reader)
{
	if (reader->bytes - reader->at < 2)
		return -1;
	unsigned first = reader->delta[reader->at++];

	if (first < 0x80)
		return (int)first;
	unsigned second = reader->delta[reader->at++];

	return second < 0x80 ? (int)((first & 0x7f) | second << 7) : -1;
}

int rs_xbzrle_decode(uint8_t *page, size_t page_bytes, const uint8_t *delta, size_t bytes)
{
	struct reader reader = { .delta = delta, .bytes = bytes };
	size_t place = 0;

	while (reader.at < bytes) {
		bool first = reader.at == 0;
		int same = get_length(&reader);

		if (same < 0 || (same == 0 && !first) || (size_t)same > page_bytes - place)
			return -EINVAL;
		place += (size_t)same;
		int different = get_length(&reader);

		if (different <= 0 || (size_t)different > page_bytes - place ||
		    (size_t)different > bytes - reader.at)
			return -EINVAL;
		memcpy(page + place, delta + reader.at, (size_t)different);
		place += (size_t)different;
		reader.at += (size_t)different;
	}
	return 0;
}
