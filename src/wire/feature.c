/* SPDX-License-Identifier: MIT */
#include "wire/feature.h"

#include "base/bytes.h"

static const struct feature {
	uint16_t id;
	uint16_t extra_bytes;
	const char *name;
} features_known[] = {
	{ RS_FEATURE_SESSION, RS_SESSION_BYTES, "session" },
	{ RS_FEATURE_RUNS, 0, "runs" },
	{ RS_FEATURE_DEVICE_LENGTHS, 0, "device-lengths" },
	{ RS_FEATURE_HANDOVER, 0, "handover" },
	{ RS_FEATURE_COMPRESS, 0, "compress" },
	{ RS_FEATURE_POSTCOPY, 0, "postcopy" },
	{ RS_FEATURE_PREEMPT, 0, "preempt" },
};

#define FEATURE_COUNT (sizeof(features_known) / sizeof(features_known[0]))

size_t rs_features_write(uint8_t *to, const struct rs_features *features)
{
	uint8_t *at = to;

	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		const struct feature *feature = &features_known[i];
		size_t name_bytes = strlen(feature->name);

		if (!(features->present & RS_FEATURE_BIT(feature->id)))
			continue;
		rs_put_be16(at, feature->id);
		rs_put_be16(at + 2, (uint16_t)(1 + name_bytes + feature->extra_bytes));
		at[4] = (uint8_t)name_bytes;
		memcpy(at + 5, feature->name, name_bytes);
		at += 5 + name_bytes;
		if (feature->id == RS_FEATURE_SESSION)
			memcpy(at, features->session, RS_SESSION_BYTES);
		at += feature->extra_bytes;
	}
	return (size_t)(at - to);
}

static void note_unknown(struct rs_features *features, uint16_t id, const uint8_t *name,
			 size_t name_bytes)
{
	if (features->unknown[0] != '\0')
		return;
	size_t room = sizeof(features->unknown) - 1;
	size_t kept = name_bytes < room ? name_bytes : room;

	for (size_t i = 0; i < kept; i++)
		features->unknown[i] = name[i] > ' ' && name[i] < 0x7f ? (char)name[i] : '?';
	features->unknown[kept] = '\0';
	if (kept == 0) {
		static const char digits[] = "0123456789abcdef";
		char number[] = "0x0000";

		for (int i = 0; i < 4; i++)
			number[5 - i] = digits[id >> (4 * i) & 0xf];
		memcpy(features->unknown, number, sizeof(number));
	}
}

static int take_feature(struct rs_features *features, uint16_t id, const uint8_t *value,
			size_t bytes, struct rs_error *error)
{
	if (bytes < 1 || value[0] > bytes - 1)
		return rs_error_setf(error, -EINVAL, "feature 0x%x: its name is cut off", id);
	const uint8_t *extra = value + 1 + value[0];
	size_t extra_bytes = bytes - 1 - value[0];

	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		if (features_known[i].id != id)
			continue;
		if (extra_bytes != features_known[i].extra_bytes)
			return rs_error_setf(error, -EINVAL, "feature %s: %zu bytes instead of %u",
					     features_known[i].name, extra_bytes,
					     features_known[i].extra_bytes);
		if (features->present & RS_FEATURE_BIT(id))
			return rs_error_setf(error, -EINVAL, "feature %s is listed twice",
					     features_known[i].name);
		features->present |= RS_FEATURE_BIT(id);
		if (id == RS_FEATURE_SESSION)
			memcpy(features->session, extra, RS_SESSION_BYTES);
		return 0;
	}
	note_unknown(features, id, value + 1, value[0]);
	return 0;
}

int rs_features_parse(const uint8_t *data, size_t bytes, struct rs_features *features,
		      struct rs_error *error)
{
	*features = (struct rs_features){ 0 };
	while (bytes > 0) {
		if (bytes < 4 || rs_get_be16(data + 2) > bytes - 4)
			return rs_error_setf(error, -EINVAL, "the list of features is cut off");
		uint16_t length = rs_get_be16(data + 2);
		int result = take_feature(features, rs_get_be16(data), data + 4, length, error);

		if (result != 0)
			return result;
		data += 4 + length;
		bytes -= 4u + length;
	}
	return 0;
}

const char *rs_feature_name(unsigned bits)
{
	for (size_t i = 0; i < FEATURE_COUNT; i++)
		if (bits & RS_FEATURE_BIT(features_known[i].id))
			return features_known[i].name;
	return "";
}
