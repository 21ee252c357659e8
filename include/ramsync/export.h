/* SPDX-License-Identifier: MIT */
/* What every other header of libramsync starts from: linkage and version. */
#ifndef RAMSYNC_EXPORT_H
#define RAMSYNC_EXPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define RS_BEGIN_DECLS extern "C" {
#define RS_END_DECLS }
#else
#define RS_BEGIN_DECLS
#define RS_END_DECLS
#endif

/** RS_API - marks the symbols that the shared library exports. */
#define RS_API __attribute__((visibility("default")))

#define RS_VERSION_MAJOR 0
#define RS_VERSION_MINOR 1
#define RS_VERSION_PATCH 0

RS_BEGIN_DECLS

/**
 * rs_version_text() - version of the library that is running.
 *
 * Return: "MAJOR.MINOR.PATCH", a static string.
 * Context: any thread.
 */
RS_API const char *rs_version_text(void);

RS_END_DECLS
#endif
