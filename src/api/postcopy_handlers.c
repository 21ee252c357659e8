/* SPDX-License-Identifier: MIT */
#include "api/phase.h"
#include "base/bytes.h"
#include "load/postcopy_load.h"
#include "save/postcopy_save.h"

#include <ramsync/postcopy_handlers.h>
#include <string.h>

int rs_has_postcopy(const struct rs_state *state)
{
	return rs_params_number(&state->params, RS_PARAM_POSTCOPY_RAM) != 0;
}

/* What is out of turn is refused, and changes nothing. */
static int check_wanted(struct rs_state *state)
{
	return rs_has_postcopy(state)
		   ? 0
		   : rs_state_refuse(state, -EINVAL, "the parameter postcopy-ram is off");
}

/* ---- source -------------------------------------------------------------------------------- */

int rs_save_discard(struct rs_state *state, int stopped,
		    void (*discard)(void *opaque, const struct rs_region *region,
				    const struct rs_byte_range *ranges, size_t count),
		    void *opaque)
{
	int result = check_wanted(state);

	if (result == 0)
		result = rs_phase_enter(state, RS_CALL_SAVE_DISCARD);
	if (result != 0)
		return result;
	result = rs_session_attach(state, NULL);
	if (result == 0)
		result = rs_ram_save_check_postcopy(state);
	if (result == 0)
		result = rs_ram_save_discard(state, stopped != 0, discard, opaque);
	rs_session_detach(state);
	rs_phase_leave(state, RS_CALL_SAVE_DISCARD, result);
	return result;
}

int rs_save_start_postcopy(struct rs_state *state)
{
	int result = rs_phase_enter(state, RS_CALL_SAVE_START_POSTCOPY);

	if (result != 0)
		return result;
	if (rs_ram_save_was_discarded(state))
		rs_ram_save_begin_postcopy(state);
	else
		result = rs_state_refuse(state, -EINVAL,
					 "rs_save_start_postcopy comes after rs_save_discard");
	rs_phase_leave(state, RS_CALL_SAVE_START_POSTCOPY, 0);
	return result;
}

static bool is_in_postcopy(struct rs_state *state)
{
	return state->save != NULL && rs_ram_save_in_postcopy(state);
}

int rs_save_request(struct rs_state *state, const char *region, uint64_t offset, uint32_t bytes)
{
	const struct rs_page_request request = { .name = region,
						 .name_bytes = (uint8_t)strnlen(region, 255),
						 .start = offset,
						 .bytes = bytes };
	struct rs_error error = { 0 };

	if (!is_in_postcopy(state))
		return rs_state_refuse(state, -EINVAL, "pages are asked for before postcopy");
	return rs_ram_save_request(state, &request, &error) == 0
		   ? 0
		   : rs_state_refuse(state, error.code, "%s", error.text);
}

static const struct rs_received_map *find_map(const struct rs_received_map *maps, size_t count,
					      const struct rs_region *region)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(maps[i].region, region->name) == 0)
			return &maps[i];
	return NULL;
}

static int take_maps(struct rs_state *state, const struct rs_received_map *maps, size_t count)
{
	struct rs_region *region;

	rs_region_for_each (state, region) {
		const struct rs_received_map *map = find_map(maps, count, region);

		if (region->dirty.words == NULL)
			continue;
		if (map == NULL)
			rs_session_fail(state, -EINVAL,
					"region %s: nothing says what has come of it",
					region->name);
		else
			rs_ram_save_take_received(state, region, map->bitmap, map->bytes);
	}
	return rs_session_code(state);
}

int rs_resume_prepare(struct rs_state *state, const struct rs_received_map *maps, size_t count)
{
	struct rs_error why;

	if (!is_in_postcopy(state))
		return rs_state_refuse(state, -EINVAL, "rs_resume_prepare outside postcopy");
	int result = rs_phase_enter(state, RS_CALL_RESUME_PREPARE);

	if (result != 0)
		return result;
	if (!rs_session_pause(state, &why))
		result = why.code;
	if (result == 0)
		result = rs_session_attach(state, NULL);
	if (result == 0)
		result = take_maps(state, maps, count);
	if (result == 0)
		rs_ram_save_resume(state);
	rs_session_detach(state);
	rs_phase_leave(state, RS_CALL_RESUME_PREPARE, result);
	return result;
}

/* ---- destination --------------------------------------------------------------------------- */

/* What the calls have in common. */
static int load_call(struct rs_state *state, enum rs_call call,
		     int (*check)(struct rs_state *state),
		     int (*work)(struct rs_state *state, const void *argument),
		     const void *argument)
{
	int result = rs_phase_enter(state, call);

	if (result != 0)
		return result;
	result = check(state);
	if (result != 0) {
		rs_phase_leave(state, call, 0);
		return result;
	}
	result = rs_session_attach(state, NULL);
	if (result == 0)
		result = work(state, argument);
	rs_session_detach(state);
	rs_phase_leave(state, call, result);
	return result;
}

static int advise(struct rs_state *state, const void *argument)
{
	const struct rs_postcopy_advice *advice = argument;
	struct rs_error error = { 0 };

	if (rs_faults_probe(state, state->userfaultfd, &error) != 0)
		return rs_session_fail_with(state, &error);
	return rs_ram_load_advise(state, advice);
}

int rs_load_advise(struct rs_state *state, uint64_t host_page_sizes)
{
	const struct rs_postcopy_advice advice = { host_page_sizes, state->page_bytes };

	return load_call(state, RS_CALL_LOAD_ADVISE, check_wanted, advise, &advice);
}

struct discards {
	const char *region;
	const struct rs_byte_range *ranges;
	size_t count;
};

static int check_before_listen(struct rs_state *state)
{
	const struct rs_load *load = state->load;

	if (load->advised && load->postcopy == NULL)
		return 0;
	return rs_state_refuse(state, -EINVAL, "%s",
			       load->advised ? "the guest may run already"
					     : "postcopy was not advised");
}

static int check_listed(struct rs_state *state)
{
	int result = check_before_listen(state);

	if (result != 0 || state->load->listed)
		return result;
	return rs_state_refuse(state, -EINVAL, "no list of regions has come");
}

/* As they would come in a stream, where they are checked. */
static int discard(struct rs_state *state, const void *argument)
{
	const struct discards *discards = argument;
	int result = 0;

	for (size_t i = 0; result == 0 && i < discards->count; i += RS_DISCARD_RANGES) {
		size_t left = discards->count - i;
		uint8_t payload[RS_DISCARD_MAX_BYTES];
		struct rs_error error = { 0 };
		struct rs_discard parsed;
		size_t bytes =
		    rs_discard_write(payload, discards->region, discards->ranges + i,
				     left < RS_DISCARD_RANGES ? left : RS_DISCARD_RANGES);

		if (rs_discard_parse(payload, bytes, &parsed, &error) != 0)
			result = rs_session_fail_with(state, &error);
		else
			result = rs_ram_load_discard(state, &parsed);
	}
	return result;
}

int rs_load_discard(struct rs_state *state, const char *region, const struct rs_byte_range *ranges,
		    size_t count)
{
	const struct discards discards = { region, ranges, count };

	if (strnlen(region, RS_REGION_NAME_BYTES) >= RS_REGION_NAME_BYTES)
		return rs_state_refuse(state, -EINVAL, "a region's name has at most 255 bytes");
	return load_call(state, RS_CALL_LOAD_DISCARD, check_before_listen, discard, &discards);
}

static int listen(struct rs_state *state, const void *argument)
{
	struct rs_load *load = state->load;
	struct rs_error error = { 0 };

	if (rs_faults_create(state, state->userfaultfd, argument, &load->faults, &error) != 0)
		return rs_session_fail_with(state, &error);
	return rs_ram_load_begin_postcopy(state, load->faults);
}

int rs_load_listen(struct rs_state *state,
		   void (*request)(void *opaque, struct rs_region *region, uint64_t offset,
				   uint64_t bytes),
		   void *opaque)
{
	const struct rs_fault_ops ops = { .request = request, .opaque = opaque };

	return load_call(state, RS_CALL_LOAD_LISTEN, check_listed, listen, &ops);
}

static ssize_t copy_received(const struct rs_region *region, uint8_t *bitmap, size_t room)
{
	uint64_t pages = rs_region_pages(region), bytes = rs_received_bitmap_bytes(pages);

	if (bitmap == NULL)
		return (ssize_t)bytes;
	if (bytes > room)
		return -ENOSPC;
	memset(bitmap, 0, (size_t)bytes);
	for (uint64_t page = 0; page < pages; page++)
		if (rs_bitmap_test(&region->received, page))
			bitmap[page / 8] |= (uint8_t)(1u << page % 8);
	return (ssize_t)bytes;
}

ssize_t rs_load_received(struct rs_state *state, const char *region, void *bitmap, size_t bytes)
{
	struct rs_region *found = rs_region_find_pinned(state, region, strlen(region));
	ssize_t result = -EINVAL;

	if (found != NULL && found->received.words != NULL)
		result = copy_received(found, bitmap, bytes);
	if (found != NULL)
		rs_region_unpin(found);
	if (result < 0)
		rs_state_refuse(state, (int)result, "region %s: %s", region,
				result == -ENOSPC ? "no room for its received bitmap"
						  : "it was not listed");
	return result;
}

int rs_load_resume(struct rs_state *state)
{
	struct rs_error why;

	if (state->load == NULL || state->load->faults == NULL)
		return rs_state_refuse(state, -EINVAL, "rs_load_resume outside postcopy");
	int result = rs_phase_enter(state, RS_CALL_LOAD_RESUME);

	if (result != 0)
		return result;
	if (!rs_session_pause(state, &why))
		result = why.code;
	if (result == 0) {
		rs_faults_pause(state->load->faults);
		rs_ram_load_resume(state);
		rs_faults_resume(state->load->faults);
	}
	rs_phase_leave(state, RS_CALL_LOAD_RESUME, result);
	return result;
}
