/* SPDX-License-Identifier: MIT */
/*
 * For tests that put functions of their own in zlib's place: in a program with this, libdeflate has no
 * memory for anything, so that the library does all with zlib. To be included once.
 */
#ifndef RS_TESTS_WITHOUT_LIBDEFLATE_H
#define RS_TESTS_WITHOUT_LIBDEFLATE_H

#include <stddef.h>

void *libdeflate_alloc_compressor(int level);
void *libdeflate_alloc_decompressor(void);

void *libdeflate_alloc_compressor(int level)
{
	(void)level;
	return NULL;
}

void *libdeflate_alloc_decompressor(void)
{
	return NULL;
}

#endif
