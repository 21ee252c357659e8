/* SPDX-License-Identifier: MIT */
/* Text that came from a stream may be anything; what we print is UTF-8 without surprises. */
#ifndef EXAMPLES_UTF8_H
#define EXAMPLES_UTF8_H

#include <stddef.h>
#include <stdio.h>

/* Bytes of the printable character that @text begins with: 0 for a control character, for bytes
 * that are no UTF-8, and at the end. */
size_t utf8_printable(const char *text);

/* Print @text for people; what is not printable as \xNN, so that no terminal obeys it. */
void utf8_print(FILE *out, const char *text);

/* "@program: @what: @text" as a line on standard error, without @what if that is NULL. */
void utf8_report(const char *program, const char *what, const char *text);

#endif
