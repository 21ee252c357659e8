/* SPDX-License-Identifier: MIT */
/* Filling a struct rs_error: the first failure wins. */
#ifndef RS_BASE_ERROR_H
#define RS_BASE_ERROR_H

#include <ramsync/error.h>
#include <errno.h>
#include <stdarg.h>

/*
 * Record a failure unless there is one already. error may be NULL. Returns code, so that
 * "return rs_error_setf(...)" reads well; code must be negative. Control characters become '?'.
 */
int rs_error_setf(struct rs_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int rs_error_setv(struct rs_error *error, int code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* The C library's words for a negative errno, thread-safe. */
const char *rs_errno_text(int code);

#endif
