/* SPDX-License-Identifier: MIT */
#include "text/fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct rs_error *error, int code, const char *format, ...)
{
	va_list args;

	if (error->code)
		return code;
	error->code = code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code;
}

int fail_call(struct rs_state *state, int code, struct rs_error *error)
{
	if (code)
		rs_error_get(state, RS_ERROR_OF_CALL, error);
	return code;
}

int fail_migration(struct rs_state *state, int code, const struct rs_error *error)
{
	if (code && error->code)
		rs_migrate_fail(state, code, "%s", error->text);
	return code;
}
