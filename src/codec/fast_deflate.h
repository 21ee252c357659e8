/* SPDX-License-Identifier: MIT */
/*
 * libdeflate, where the library was built with it: streams of the same form as zlib's in half the time, for whole
 * buffers only, which pages are. Where it was not, or its memory cannot be had, everything here is NULL, and
 * whoever asks falls back on zlib.
 */
#ifndef RS_CODEC_FAST_DEFLATE_H
#define RS_CODEC_FAST_DEFLATE_H

#include <stddef.h>

#ifdef RS_HAVE_LIBDEFLATE

#include <libdeflate.h>

typedef struct libdeflate_compressor rs_fast_deflater;
typedef struct libdeflate_decompressor rs_fast_inflater;

static inline rs_fast_deflater *rs_fast_deflater_new(int level)
{
	return libdeflate_alloc_compressor(level);
}

static inline void rs_fast_deflater_free(rs_fast_deflater *deflater)
{
	libdeflate_free_compressor(deflater);
}

/* Length of the stream; 0 if it does not fit. */
static inline size_t rs_fast_deflate(rs_fast_deflater *deflater, const void *data, size_t bytes,
				     void *to, size_t limit)
{
	return libdeflate_zlib_compress(deflater, data, bytes, to, limit);
}

static inline rs_fast_inflater *rs_fast_inflater_new(void)
{
	return libdeflate_alloc_decompressor();
}

static inline void rs_fast_inflater_free(rs_fast_inflater *inflater)
{
	libdeflate_free_decompressor(inflater);
}

/* Whether the data are the stream of exactly so many bytes, which are there then. If not, anything may be. */
static inline int rs_fast_inflate(rs_fast_inflater *inflater, const void *data, size_t bytes,
				  void *to, size_t wanted)
{
	size_t used, got;

	return libdeflate_zlib_decompress_ex(inflater, data, bytes, to, wanted, &used, &got) ==
		   LIBDEFLATE_SUCCESS &&
	       used == bytes && got == wanted;
}

#else

typedef void rs_fast_deflater;
typedef void rs_fast_inflater;

static inline rs_fast_deflater *rs_fast_deflater_new(int level)
{
	(void)level;
	return NULL;
}

static inline void rs_fast_deflater_free(rs_fast_deflater *deflater)
{
	(void)deflater;
}

static inline size_t rs_fast_deflate(rs_fast_deflater *deflater, const void *data, size_t bytes,
				     void *to, size_t limit)
{
	(void)deflater, (void)data, (void)bytes, (void)to, (void)limit;
	return 0;
}

static inline rs_fast_inflater *rs_fast_inflater_new(void)
{
	return NULL;
}

static inline void rs_fast_inflater_free(rs_fast_inflater *inflater)
{
	(void)inflater;
}

static inline int rs_fast_inflate(rs_fast_inflater *inflater, const void *data, size_t bytes,
				  void *to, size_t wanted)
{
	(void)inflater, (void)data, (void)bytes, (void)to, (void)wanted;
	return 0;
}

#endif

#endif
