/* SPDX-License-Identifier: MIT */
#include "load/block_list.h"

#include "base/checked.h"
#include "load/peek.h"
#include "load/postcopy_load.h"

#include <string.h>

static int announce(struct rs_load *load, const char *name, uint64_t used_bytes)
{
	struct rs_state *state = load->state;

	if (load->ops.region_announced == NULL)
		return rs_session_fail(state, -EINVAL, "region %s of the stream is unknown here",
				       name);
	int result = load->ops.region_announced(load->opaque, name, used_bytes);

	if (result < 0)
		return rs_session_fail(state, result,
				       "region %s, %llu bytes, was announced and refused", name,
				       (unsigned long long)used_bytes);
	return 0;
}

static int resize(struct rs_load *load, struct rs_region *region, uint64_t used_bytes)
{
	struct rs_state *state = load->state;
	unsigned long long here = rs_region_used_bytes(region), there = used_bytes;

	if (used_bytes == here)
		return 0;
	if (!rs_region_has(region, RS_REGION_RESIZABLE))
		return rs_session_fail(state, -EINVAL,
				       "region %s has %llu bytes here and %llu in the stream, and "
				       "is not resizable",
				       region->name, here, there);
	if (used_bytes > region->max_bytes)
		return rs_session_fail(state, -EINVAL,
				       "region %s has at most %llu bytes here and %llu in the "
				       "stream",
				       region->name, (unsigned long long)region->max_bytes, there);
	rs_region_set_used(region, used_bytes);
	if (load->ops.region_resized == NULL)
		return 0;
	int result = load->ops.region_resized(load->opaque, region, used_bytes);

	return result < 0 ? rs_session_fail(state, result,
					    "region %s: the VMM refused to resize it to %llu bytes",
					    region->name, there)
			  : 0;
}

/* Everything about an entry that can be wrong once its region is known. */
static int accept(struct rs_load *load, struct rs_region *region,
		  const struct rs_block_entry *entry)
{
	struct rs_state *state = load->state;

	if (region->listed)
		return rs_session_fail(state, -EINVAL, "region %s is listed twice", region->name);
	region->listed = true;
	if (rs_region_has(region, RS_REGION_IGNORED) &&
	    entry->guest_address != region->guest_address)
		return rs_session_fail(state, -EINVAL,
				       "region %s is ignored, and lies at guest address 0x%llx "
				       "here and 0x%llx in the stream",
				       region->name, (unsigned long long)region->guest_address,
				       (unsigned long long)entry->guest_address);
	if (rs_region_has(region, RS_REGION_READONLY) && !region->has_alias &&
	    !rs_region_has(region, RS_REGION_IGNORED))
		return rs_session_fail(state, -EROFS, "region %s is mapped read-only here",
				       region->name);
	int result = resize(load, region, entry->used_bytes);

	if (result != 0 || region->written.words != NULL)
		return result;
	/* The first load into it: what may be taken for zero is settled now. */
	region->zero_until_written = rs_region_has(region, RS_REGION_FRESH);
	atomic_fetch_and_explicit(&region->flags, ~(uint32_t)RS_REGION_FRESH, memory_order_relaxed);
	uint64_t max_pages = region->max_bytes >> state->page_shift;

	if (rs_bitmap_init(&region->written, max_pages) != 0 ||
	    rs_bitmap_init(&region->received, max_pages) != 0)
		return rs_session_fail(state, -ENOMEM, "region %s: no memory for its bitmaps",
				       region->name);
	return load->advised ? rs_load_empty_region(load, region) : 0;
}

static void observe(struct rs_load *load, const char *name, const struct rs_block_entry *entry,
		    int stream_bytes)
{
	if (load->ops.observe == NULL)
		return;
	const struct rs_observation seen = {
		.size = sizeof(seen),
		.type = RS_OBSERVED_REGION,
		.offset = load->record_at,
		.stream_bytes = (uint64_t)stream_bytes,
		.name = name,
		.address = entry->guest_address,
		.bytes = entry->used_bytes,
	};

	load->ops.observe(load->opaque, &seen);
}

/* bytes: of the entry in the stream. left: of the total, before it. */
static int load_entry(struct rs_load *load, const struct rs_block_entry *entry, int bytes,
		      uint64_t left)
{
	struct rs_state *state = load->state;
	char name[RS_REGION_NAME_BYTES] = "";

	memcpy(name, entry->name, entry->name_bytes);
	if (entry->used_bytes == 0 || !rs_is_aligned(entry->used_bytes, state->page_bytes) ||
	    entry->used_bytes > left)
		return rs_session_fail(state, -EINVAL,
				       "list of regions: %s has %llu bytes where %llu are left of "
				       "the total, or they are not whole pages",
				       name, (unsigned long long)entry->used_bytes,
				       (unsigned long long)left);
	observe(load, name, entry, bytes);

	struct rs_region *region = rs_region_find_pinned(state, name, entry->name_bytes);

	if (region == NULL) {
		if (announce(load, name, entry->used_bytes) != 0)
			return rs_session_code(state);
		region = rs_region_find_pinned(state, name, entry->name_bytes);
		if (region == NULL)
			return rs_session_fail(state, -EINVAL,
					       "region %s was announced, but not added", name);
	}
	int result = accept(load, region, entry);

	rs_region_unpin(region);
	return result;
}

static void forget_listed(struct rs_state *state)
{
	struct rs_region *region;

	rs_region_for_each (state, region)
		region->listed = false;
}

static void warn_unlisted(struct rs_state *state)
{
	struct rs_region *region;

	rs_region_for_each (state, region)
		if (!region->listed)
			rs_session_warn(state, "region %s is not in the stream; it stays as it is",
					region->name);
}

int rs_block_list_load(struct rs_load *load, struct rs_stream *stream, uint64_t total)
{
	struct rs_state *state = load->state;

	forget_listed(state);
	for (uint64_t left = total; left > 0;) {
		struct rs_block_entry entry;

		load->record_at = rs_stream_bytes_read(stream);
		int bytes = rs_peek_block_entry(&load->reader, stream, &entry);

		if (bytes < 0)
			return bytes;
		uint64_t used_bytes = entry.used_bytes;

		if (load_entry(load, &entry, bytes, left) != 0)
			return rs_session_code(state);
		rs_stream_skip(stream, (uint64_t)bytes);
		left -= used_bytes;
	}
	if (load->advised && rs_load_check_host_pages(load) != 0)
		return rs_session_code(state);
	load->listed = true;
	rs_counter_set(state->counters.total, total);
	warn_unlisted(state);
	return rs_session_code(state);
}
