/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

int rs_error_setv(struct rs_error *error, int code, const char *format, va_list arguments)
{
	if (error != NULL && error->code == 0) {
		error->code = code;
		vsnprintf(error->text, sizeof(error->text), format, arguments);
		/* Names and texts of a peer's may be in it, and it may go to a terminal. */
		for (char *at = error->text; *at != '\0'; at++)
			if ((unsigned char)*at < ' ' || *at == 0x7f)
				*at = '?';
	}
	return code;
}

int rs_error_setf(struct rs_error *error, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	rs_error_setv(error, code, format, arguments);
	va_end(arguments);
	return code;
}

const char *rs_errno_text(int code)
{
	const char *text = strerrordesc_np(-code);

	return text != NULL ? text : "unknown error";
}
