/* SPDX-License-Identifier: MIT */
#include "command/option_value.h"
#include "command/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 1000000.0

void option_refuse(const char *program, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", program);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\nTry '%s --help'.\n", program);
	va_end(args);
	exit(EXIT_BAD_USAGE);
}

bool option_read_number(const char *text, bool size, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	if (errno)
		return false;
	suffix = size && *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);

		if (*value > UINT64_MAX >> shift)
			return false;
		*value <<= shift;
		end++;
	}
	return !*end;
}

static uint64_t get_number(const struct option_value *value, bool size, uint64_t min, uint64_t max)
{
	uint64_t number;

	if (!option_read_number(value->text, size, &number) || number < min || number > max)
		option_refuse(value->program, "--%s '%s' is not a %s from %ju to %ju",
			      value->option, value->text, size ? "size" : "number", (uintmax_t)min,
			      (uintmax_t)max);
	return number;
}

uint64_t option_number(const struct option_value *value, uint64_t min, uint64_t max)
{
	return get_number(value, false, min, max);
}

uint64_t option_size(const struct option_value *value, uint64_t min, uint64_t max)
{
	return get_number(value, true, min, max);
}

double option_seconds(const struct option_value *value)
{
	char *end;
	double seconds = strtod(value->text, &end);

	if (end == value->text || *end || !isfinite(seconds) || seconds < 0 ||
	    seconds > SECONDS_MAX)
		option_refuse(value->program, "--%s '%s' is not a number of seconds from 0 to %.0f",
			      value->option, value->text, SECONDS_MAX);
	return seconds;
}

int option_word(const struct option_value *value, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(value->text, names[i]))
			return i;
	option_refuse(value->program, "--%s: there is no '%s'", value->option, value->text);
}
