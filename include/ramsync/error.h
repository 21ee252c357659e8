/* SPDX-License-Identifier: MIT */
/*
 * Errors. Every call returns a value >= 0 for success or a negative errno; what
 * exactly went wrong is a text that names the region, offset, parameter or
 * address in question. The text travels with the object that failed: a state
 * (rs_error_get), a stream (rs_stream_error) or, where there is no object yet, a
 * struct rs_error that the caller passes in. The library never prints.
 */
#ifndef RAMSYNC_ERROR_H
#define RAMSYNC_ERROR_H

#include <ramsync/export.h>

/** RS_ERROR_TEXT_BYTES - longest error text, terminator included. */
#define RS_ERROR_TEXT_BYTES 512

/**
 * struct rs_error - one failure.
 * @code: negative errno; 0 if nothing failed.
 * @text: one English sentence without a final dot; "" if nothing failed.
 */
struct rs_error {
	int code;
	char text[RS_ERROR_TEXT_BYTES];
};

/** RS_ERROR_IN_DOUBT - what a migration returns that ended between COMMIT and RUNNING. */
#define RS_ERROR_IN_DOUBT (-131) /* -ENOTRECOVERABLE */

#endif
