/* SPDX-License-Identifier: MIT */
/* Universally unique identifiers, as bytes and as the usual text (RFC 4122, section 3). */
#ifndef RS_BASE_UUID_H
#define RS_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define RS_UUID_BYTES 16u
#define RS_UUID_TEXT_BYTES 37u /* terminator included */

/* False if the text is none: 8-4-4-4-12 hexadecimal digits and nothing else. */
bool rs_uuid_parse(const char *text, uint8_t uuid[RS_UUID_BYTES]);

/* In lower case. */
void rs_uuid_format(const uint8_t uuid[RS_UUID_BYTES], char text[RS_UUID_TEXT_BYTES]);

#endif
