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
	size_t limit;
	size_t used;
	size_t end; /* of the last run of different bytes */
};

/* A run begins only where two bytes are left for its length: QEMU's rule, also for one byte. */
static ALWAYS_INLINE bool has_room(const struct writer *writer)
{
	return writer->used + 2 <= writer->limit;
}

static ALWAYS_INLINE void put_length(struct writer *writer, size_t length)
{
	if (length >= 0x80) {
		writer->delta[writer->used++] = (uint8_t)(length | 0x80);
		length >>= 7;
	}
	writer->delta[writer->used++] = (uint8_t)length;
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

	if ((length > SHORT_BYTES) | (from + SHORT_BYTES > writer->page_bytes) |
	    (writer->used + 3 + SHORT_BYTES > writer->limit))
		return put_runs(writer, from, to);
	put_length(writer, same);
	writer->delta[writer->used++] = (uint8_t)length;
	memcpy(writer->delta + writer->used, writer->page + from, SHORT_BYTES);
	writer->used += length;
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
	struct writer writer = { new, page_bytes, delta, limit, 0, 0 };
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
			uint64_t rest = mask + (mask & -mask); /* 0: the run has the last bit */

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

		if (!_mm256_testz_si256(both, both))
			return _mm256_testz_si256(a, a) ? at + BLOCK_BYTES : at;
	}
	return at;
}

AVX2 static int encode_avx2(const uint8_t *old, const uint8_t *new, size_t page_bytes,
			    uint8_t *delta, size_t limit)
{
	return encode(old, new, page_bytes, delta, limit, mask_avx2, skip_avx2);
}

/*
 * With VBMI2 no run needs a branch, which would be a guess in pages with many changes: a list of borders
 * between same and different bytes is made first, then runs of it. The beginning of the next part of the
 * pages is asked for before, or memory would idle meanwhile; a few borders wait, as reading on is better
 * for sparse changes.
 */
#define AVX512 __attribute__((target("avx512bw,avx512vbmi2,popcnt")))
#define PART_BYTES 1024u
#define FEW_BORDERS 16u

static const uint8_t bytes_of_block[BLOCK_BYTES] = {
	0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
	22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
	44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
};

struct borders {
	size_t count;
	uint64_t open;                         /* 1: the byte before differs */
	uint16_t at[FEW_BORDERS + PART_BYTES]; /* less than a few, a part's, the page's end */
};

AVX512 static ALWAYS_INLINE uint64_t mask_avx512(const uint8_t *old, const uint8_t *new)
{
	return _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(old), _mm512_loadu_si512(new));
}

AVX512 static ALWAYS_INLINE void add_borders(struct borders *borders, size_t block, uint64_t mask)
{
	uint64_t changes = mask ^ (mask << 1 | borders->open);
	size_t count = (size_t)_mm_popcnt_u64(changes);
	uint16_t *to = borders->at + borders->count;
	__m512i base = _mm512_set1_epi16((short)block);
	__m512i bytes = _mm512_maskz_compress_epi8(changes, _mm512_loadu_si512(bytes_of_block));
	__m256i low = _mm512_castsi512_si256(bytes);
	__m256i high = _mm512_extracti64x4_epi64(bytes, 1);

	_mm512_storeu_si512(to, _mm512_add_epi16(base, _mm512_cvtepu8_epi16(low)));
	if (count > 32)
		_mm512_storeu_si512(to + 32, _mm512_add_epi16(base, _mm512_cvtepu8_epi16(high)));
	borders->count += count;
	borders->open = mask >> 63;
}

static ALWAYS_INLINE void ask_for(const uint8_t *old, const uint8_t *new)
{
	for (size_t at = 0; at < PART_BYTES / 2; at += BLOCK_BYTES) {
		__builtin_prefetch(old + at);
		__builtin_prefetch(new + at);
	}
}

/* The beginning of a run whose end is not known yet stays. */
AVX512 static ALWAYS_INLINE bool put_borders(struct writer *writer, struct borders *borders)
{
	size_t count = borders->count;

	for (size_t i = 1; i < count; i += 2)
		if (!put_short_runs(writer, borders->at[i - 1], borders->at[i]))
			return false;
	if (count % 2 != 0)
		borders->at[0] = borders->at[count - 1];
	borders->count = count % 2;
	return true;
}

AVX512 static int encode_avx512(const uint8_t *old, const uint8_t *new, size_t page_bytes,
				uint8_t *delta, size_t limit)
{
	struct writer writer = { new, page_bytes, delta, limit, 0, 0 };
	struct borders borders;

	borders.count = borders.open = 0;
	for (size_t at = 0; at < page_bytes; at += 2 * BLOCK_BYTES) {
		if (at % PART_BYTES == 0 && borders.count >= FEW_BORDERS) {
			ask_for(old + at, new + at);
			if (!put_borders(&writer, &borders))
				return RS_XBZRLE_OVERFLOW;
		}
		uint64_t a = mask_avx512(old + at, new + at);
		uint64_t b = mask_avx512(old + at + BLOCK_BYTES, new + at + BLOCK_BYTES);

		if ((a | b | borders.open) == 0)
			continue;
		add_borders(&borders, at, a);
		add_borders(&borders, at + BLOCK_BYTES, b);
	}
	borders.at[borders.count] = (uint16_t)page_bytes;
	borders.count += borders.open;
	if (!put_borders(&writer, &borders))
		return RS_XBZRLE_OVERFLOW;
	return finish(&writer);
}
#endif

/* What runs everywhere first, the fastest last. */
static const struct rs_xbzrle_version versions[] = {
	{ "portable", encode_portable },
#ifdef HAVE_X86
	{ "avx2", encode_avx2 },
	{ "avx512vbmi2", encode_avx512 },
#endif
};

const struct rs_xbzrle_version *rs_xbzrle_versions(size_t *count)
{
	*count = 1;
#ifdef HAVE_X86
	*count += __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
	*count += *count == 2 && __builtin_cpu_supports("avx512bw") &&
		  __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("popcnt");
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
		int same = get_length(&reader);

		if (same < 0 || (same == 0 && place != 0) || (size_t)same > page_bytes - place)
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
