/* SPDX-License-Identifier: MIT */
#include "ram/param.h"

#include "base/checked.h"
#include "base/error.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rs_param_info param_table[RS_PARAM_COUNT] = {
	[RS_PARAM_MAX_BANDWIDTH] = { "max-bandwidth", RS_PARAM_UINT, "bytes/s", 0,
				     UINT64_MAX / 1000, "134217728", 1,
				     "Most bytes a second that are sent while the guest runs; 0 "
				     "for no limit." },
	[RS_PARAM_DOWNTIME_LIMIT] = { "downtime-limit", RS_PARAM_UINT, "ms", 0, 2000000, "300", 1,
				      "The guest is stopped once the rest can be sent in this "
				      "time. A first pass whose rest fits may go on for up to "
				      "twice that, or a second." },
	[RS_PARAM_MACHINE] = { "machine", RS_PARAM_STRING, "", 0, 0, "", 0,
			       "Source: write QEMU's form of the stream, under this machine name. "
			       "Destination: refuse a QEMU stream of any other machine. Empty: "
			       "libramsync's own form; any machine is read." },
	[RS_PARAM_STALL_TIMEOUT] = { "stall-timeout", RS_PARAM_UINT, "ms", 0, 86400000, "60000", 0,
				     "A migration fails when no byte moves for this long; 0 for "
				     "never." },
	[RS_PARAM_MAX_DEVICE_STATE] = { "max-device-state", RS_PARAM_UINT, "bytes", 0, 1ull << 40,
					"268435456", 0,
					"Largest device section that is sent or accepted; in "
					"QEMU's form "
					"also all device state that is taken as it stands." },
	[RS_PARAM_X_IGNORE_SHARED] = { "x-ignore-shared", RS_PARAM_BOOL, "", 0, 1, "off", 0,
				       "Ignored regions are listed with their guest address and "
				       "not sent. Must be equal at both ends." },
	[RS_PARAM_X_CLEAR_BITMAP_SHIFT] = { "x-clear-bitmap-shift", RS_PARAM_UINT, "", 6, 31, "18",
					    0,
					    "Dirty logs are cleared in chunks of 2 to this power "
					    "pages." },
	[RS_PARAM_UUID] = { "uuid", RS_PARAM_STRING, "", 0, 0, "", 0,
			    "The machine's uuid. Source: tell it. Destination: refuse a stream "
			    "that "
			    "tells another." },
	[RS_PARAM_SWITCHOVER_ACK] = { "switchover-ack", RS_PARAM_BOOL, "", 0, 1, "off", 0,
				      "Destination: tell a QEMU whose capability of that name is "
				      "on "
				      "(8.1 and later) that it may switch over." },
	[RS_PARAM_LAX] = { "lax", RS_PARAM_BOOL, "", 0, 1, "off", 0,
			   "Destination: accept streams of QEMU's form that QEMU accepts, though "
			   "they may be damaged: pages that never came, changes to such pages, "
			   "zero "
			   "pages with a fill byte, RAM that does not end or goes on behind its "
			   "end, device state "
			   "without a description, recordings of a source that waits for "
			   "answers." },
	[RS_PARAM_XBZRLE] = { "xbzrle", RS_PARAM_BOOL, "", 0, 1, "off", 0,
			      "Source: after the first pass, send of a page that was sent before "
			      "only what has changed." },
	[RS_PARAM_XBZRLE_CACHE_SIZE] = { "xbzrle-cache-size", RS_PARAM_UINT, "bytes", 1024,
					 1ull << 40, "67108864", 1,
					 "Size of the cache of pages that were sent, for xbzrle; "
					 "a power of two, at least a page. A new size begins with "
					 "an empty cache." },
	[RS_PARAM_COMPRESS] = { "compress", RS_PARAM_BOOL, "", 0, 1, "off", 0,
				"Source: compress pages with zlib, in threads; with xbzrle, only "
				"in the first pass. Destination: accept compressed pages. Must be "
				"on at both ends; QEMU has it up to 9.0." },
	[RS_PARAM_COMPRESS_LEVEL] = { "compress-level", RS_PARAM_UINT, "", 0, 9, "1", 0,
				      "zlib's level: 1 is fast, 9 is small, 0 compresses "
				      "nothing." },
	[RS_PARAM_COMPRESS_THREADS] = { "compress-threads", RS_PARAM_UINT, "", 1, 255, "8", 0,
					"Threads that compress." },
	[RS_PARAM_COMPRESS_WAIT_THREAD] = { "compress-wait-thread", RS_PARAM_BOOL, "", 0, 1, "on",
					    0,
					    "Wait for a thread to be free; else the page goes in "
					    "full." },
	[RS_PARAM_DECOMPRESS_THREADS] = { "decompress-threads", RS_PARAM_UINT, "", 1, 255, "2", 0,
					  "Threads that decompress." },
	[RS_PARAM_POSTCOPY_RAM] = { "postcopy-ram", RS_PARAM_BOOL, "", 0, 1, "off", 0,
				    "The guest may be run at the destination before all of its "
				    "memory "
				    "is there. Must be on at both ends." },
	[RS_PARAM_POSTCOPY_PREEMPT] = { "postcopy-preempt", RS_PARAM_BOOL, "", 0, 1, "off", 0,
					"In postcopy, send the pages that the guest waits for over "
					"a "
					"connection of their own. Must be on at both ends, and "
					"needs "
					"postcopy-ram." },
	[RS_PARAM_MAX_POSTCOPY_BANDWIDTH] = { "max-postcopy-bandwidth", RS_PARAM_UINT, "bytes/s", 0,
					      UINT64_MAX / 1000, "0", 1,
					      "Most bytes a second that are sent in postcopy of "
					      "pages "
					      "that nobody waits for; 0 for no limit." },
};

const struct rs_param_info *rs_param_next(const struct rs_param_info *previous)
{
	const struct rs_param_info *next = previous == NULL ? param_table : previous + 1;

	return next < param_table + RS_PARAM_COUNT ? next : NULL;
}

const char *rs_param_name(enum rs_param_id id)
{
	return param_table[id].name;
}

const struct rs_param_info *rs_param_find(const char *name, enum rs_param_id *id)
{
	for (int i = 0; i < RS_PARAM_COUNT; i++) {
		if (strcmp(param_table[i].name, name) != 0)
			continue;
		*id = (enum rs_param_id)i;
		return &param_table[i];
	}
	return NULL;
}

void rs_params_init(struct rs_params *params, uint32_t page_bytes)
{
	params->page_bytes = page_bytes;
	for (int i = 0; i < RS_PARAM_COUNT; i++)
		rs_params_set(params, (enum rs_param_id)i, param_table[i].def, NULL);
}

/* ---- texts --------------------------------------------------------------------------------- */

static int set_uuid(struct rs_params *params, const char *value)
{
	uint8_t uuid[RS_UUID_BYTES];

	if (value[0] == '\0')
		params->uuid[0] = '\0';
	else if (rs_uuid_parse(value, uuid))
		rs_uuid_format(uuid, params->uuid);
	else
		return -EINVAL;
	return 0;
}

static int set_text(struct rs_params *params, enum rs_param_id id, const char *value)
{
	if (id == RS_PARAM_UUID)
		return set_uuid(params, value);
	if (strlen(value) >= RS_PARAM_STRING_BYTES)
		return -EINVAL;
	strcpy(params->machine, value);
	return 0;
}

static const char *text_of(const struct rs_params *params, enum rs_param_id id)
{
	return id == RS_PARAM_UUID ? params->uuid : params->machine;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static int parse_bool(const char *text, uint64_t *value)
{
	static const char *const words[][2] = {
		{ "off", "on" },
		{ "false", "true" },
		{ "no", "yes" },
		{ "0", "1" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (unsigned bit = 0; bit < 2; bit++)
			if (strcmp(text, words[i][bit]) == 0) {
				*value = bit;
				return 0;
			}
	return -EINVAL;
}

/* Power of 1024 for a suffix letter; -1 for another character. */
static int suffix_shift(char letter)
{
	static const char letters[] = "KMGT";
	const char *found = letter != '\0' ? strchr(letters, toupper((unsigned char)letter)) : NULL;

	return found != NULL ? 10 * (int)(found - letters + 1) : -1;
}

/* Digits, then a suffix if the unit is bytes. -ERANGE if it does not fit 64 bits. */
static int parse_uint(const char *text, const char *unit, uint64_t *value)
{
	bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, hexadecimal ? 16 : 10);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end != '\0' && strncmp(unit, "bytes", 5) == 0) {
		int shift = suffix_shift(*end++);

		if (shift < 0)
			return -EINVAL;
		if (*value > UINT64_MAX >> shift)
			return -ERANGE;
		*value <<= shift;
	}
	return *end == '\0' ? 0 : -EINVAL;
}

/* What the range does not say. */
static bool is_legal(const struct rs_params *params, enum rs_param_id id, uint64_t number)
{
	return id != RS_PARAM_XBZRLE_CACHE_SIZE ||
	       (rs_is_power_of_two(number) && number >= params->page_bytes);
}

/* ---- both ---------------------------------------------------------------------------------- */

static int refuse(const struct rs_param_info *info, uint32_t page_bytes, int code,
		  const char *value, struct rs_error *error)
{
	if (info->type == RS_PARAM_BOOL)
		return rs_error_setf(error, code, "parameter %s: '%s' is neither on nor off",
				     info->name, value);
	if (info == &param_table[RS_PARAM_UUID])
		return rs_error_setf(error, code, "parameter %s: '%s' is no uuid", info->name,
				     value);
	if (info == &param_table[RS_PARAM_XBZRLE_CACHE_SIZE])
		return rs_error_setf(error, code,
				     "parameter %s: '%s' is not a power of two from %" PRIu32
				     " to %" PRIu64 " bytes",
				     info->name, value, page_bytes, info->max);
	if (info->type == RS_PARAM_STRING)
		return rs_error_setf(error, code, "parameter %s: the text is longer than %d bytes",
				     info->name, RS_PARAM_STRING_BYTES - 1);
	return rs_error_setf(
	    error, code, "parameter %s: '%s' is not a number from %" PRIu64 " to %" PRIu64 "%s%s",
	    info->name, value, info->min, info->max, *info->unit ? " " : "", info->unit);
}

int rs_params_set(struct rs_params *params, enum rs_param_id id, const char *value,
		  struct rs_error *error)
{
	const struct rs_param_info *info = &param_table[id];
	uint64_t number = 0;
	int result = 0;

	switch (info->type) {
	case RS_PARAM_STRING:
		if (set_text(params, id, value) != 0)
			return refuse(info, params->page_bytes, -EINVAL, value, error);
		return 0;
	case RS_PARAM_BOOL:
		result = parse_bool(value, &number);
		break;
	case RS_PARAM_UINT:
		result = parse_uint(value, info->unit, &number);
		if (result == 0 && (number < info->min || number > info->max))
			result = -ERANGE;
		if (result == 0 && !is_legal(params, id, number))
			result = -EINVAL;
		break;
	}
	if (result != 0)
		return refuse(info, params->page_bytes, result, value, error);
	atomic_store_explicit(&params->number[id], number, memory_order_relaxed);
	return 0;
}

int rs_params_get(const struct rs_params *params, enum rs_param_id id, char *value, size_t bytes)
{
	uint64_t number = rs_params_number(params, id);
	int length = 0;

	switch (param_table[id].type) {
	case RS_PARAM_STRING:
		length = snprintf(value, bytes, "%s", text_of(params, id));
		break;
	case RS_PARAM_BOOL:
		length = snprintf(value, bytes, "%s", number ? "on" : "off");
		break;
	case RS_PARAM_UINT:
		length = snprintf(value, bytes, "%" PRIu64, number);
		break;
	}
	return (size_t)length < bytes ? length : -ENOSPC;
}
