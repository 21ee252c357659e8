/* SPDX-License-Identifier: MIT */
#include "interop/recode.h"

#include "codec/xbzrle.h"
#include "wire/ram_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	const struct recoder *recoder = opaque;

	return regions_announced(recoder->regions, name, used_bytes);
}

/* The bytes of a delta, behind the header of its record. */
static const uint8_t *delta_of(const struct recoder *recoder, const struct rs_observation *seen,
			       size_t *bytes)
{
	const struct rs_record_rules rules = { .page_bytes = PAGE };
	struct rs_record record;
	size_t need;

	if (seen->offset > recoder->bytes || seen->stream_bytes > recoder->bytes - seen->offset)
		return NULL;
	const uint8_t *at = recoder->data + seen->offset;
	int header = rs_record_parse(at, seen->stream_bytes, &rules, &record, &need, NULL);

	if (header <= 0 || record.kind != RS_RECORD_XBZRLE ||
	    record.content != seen->stream_bytes - (size_t)header)
		return NULL;
	*bytes = record.content;
	return at + header;
}

static bool is_made_again(const uint8_t *before, const uint8_t *delta, size_t bytes)
{
	uint8_t after[PAGE], again[PAGE];
	size_t count;
	const struct rs_xbzrle_version *versions = rs_xbzrle_versions(&count);

	memcpy(after, before, PAGE);
	if (rs_xbzrle_decode(after, PAGE, delta, bytes) != 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (versions[i].encode(before, after, PAGE, again, PAGE) != (int)bytes ||
		    memcmp(again, delta, bytes) != 0)
			return false;
	return count > 0;
}

/* Before the record takes effect: memory holds the page that it changes. */
static void observe(void *opaque, const struct rs_observation *seen)
{
	struct recoder *recoder = opaque;
	size_t bytes;

	if (seen->type != RS_OBSERVED_RECORD || seen->number != RS_RECORD_XBZRLE)
		return;
	struct rs_region *region = rs_region_find(recoder->regions->state, seen->name);
	const uint8_t *delta = delta_of(recoder, seen, &bytes);

	recoder->deltas++;
	if (region != NULL && delta != NULL &&
	    is_made_again((uint8_t *)rs_region_host(region) + seen->address, delta, bytes))
		return;
	recoder->others++;
	fprintf(stderr, "recode: %s, offset 0x%llx: not the delta of these pages\n", seen->name,
		(unsigned long long)seen->address);
}

static int read_again(struct recoder *recoder, const char *path)
{
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return -errno;
	fseek(file, 0, SEEK_END);
	recoder->bytes = (size_t)ftell(file);
	rewind(file);
	recoder->data = malloc(recoder->bytes + 1);
	int result =
	    recoder->data != NULL && fread(recoder->data, 1, recoder->bytes, file) == recoder->bytes
		? 0
		: -EIO;

	fclose(file);
	return result;
}

int recode(struct recoder *recoder, struct framing *framing, struct rs_stream *stream,
	   const char *path)
{
	static const struct rs_load_ops ops = {
		.size = sizeof(ops),
		.region_announced = announced,
		.observe = observe,
	};
	struct rs_state *state = recoder->regions->state;
	int result = read_again(recoder, path);

	if (result == 0)
		result = rs_load_setup(state, &ops, recoder);
	if (result == 0)
		result = framing_load(framing, state, stream);
	rs_load_cleanup(state);
	free(recoder->data);
	return result != 0 ? result : recoder->others != 0 ? -EPROTO : 0;
}
