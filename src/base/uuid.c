/* SPDX-License-Identifier: MIT */
#include "base/uuid.h"

#include <stddef.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

/* Hyphens stand before these bytes. */
static bool begins_group(unsigned byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static int value_of(char digit)
{
	char lower = digit >= 'A' && digit <= 'F' ? (char)(digit - 'A' + 'a') : digit;
	const char *found = digit != '\0' ? strchr(digits, lower) : NULL;

	return found != NULL ? (int)(found - digits) : -1;
}

bool rs_uuid_parse(const char *text, uint8_t uuid[RS_UUID_BYTES])
{
	for (unsigned i = 0; i < RS_UUID_BYTES; i++) {
		if (begins_group(i) && *text++ != '-')
			return false;
		int high = value_of(text[0]), low = high < 0 ? -1 : value_of(text[1]);

		if (low < 0)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return *text == '\0';
}

void rs_uuid_format(const uint8_t uuid[RS_UUID_BYTES], char text[RS_UUID_TEXT_BYTES])
{
	for (unsigned i = 0; i < RS_UUID_BYTES; i++) {
		if (begins_group(i))
			*text++ = '-';
		*text++ = digits[uuid[i] >> 4];
		*text++ = digits[uuid[i] & 15];
	}
	*text = '\0';
}
