/* SPDX-License-Identifier: MIT */
#include "files/region_file_name.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool must_escape(char c, bool dots)
{
	return c == '/' || c == '%' || (dots && c == '.');
}

void region_file_name(const char *region, char name[REGION_FILE_NAME_BYTES])
{
	bool dots = !strcmp(region, ".") || !strcmp(region, "..");

	for (; *region; region++) {
		if (must_escape(*region, dots))
			name += sprintf(name, "%%%02X", (unsigned char)*region);
		else
			*name++ = *region;
	}
	*name = '\0';
}
