/* SPDX-License-Identifier: MIT */
#include "live/setup.h"
#include "text/fail.h"
#include "live/qemu_guest.h"

#include <stdio.h>

#define DEFAULT_MEMORY_BYTES (1ull << 30)
#define DEFAULT_WORKING_SET_BYTES (16ull << 20)

static int add_blocks(struct memory *memory, const struct options *options, uint64_t standard,
		      struct rs_error *error)
{
	int ret = 0;

	if (standard)
		ret = memory_add_standard(memory, standard, error);
	for (unsigned i = 0; !ret && i < options->regions; i++) {
		const struct region_option *region = &options->region[i];
		char name[RS_REGION_NAME_BYTES];

		snprintf(name, sizeof(name), "%.*s", region->name_length, region->name);
		ret = memory_add(memory, name, region->kind, region->bytes, error);
	}
	if (!ret && options->prealloc)
		memory_touch(memory, 0);
	return ret;
}

static enum dirty_log choose_dirty_log(const struct options *options)
{
	struct rs_error error = { 0 };

	if (options->dirty_log != DIRTY_LOG_AUTO)
		return options->dirty_log;
	if (rs_dirty_log_userfaultfd_probe(&error) == 0)
		return DIRTY_LOG_USERFAULTFD;
	fprintf(stderr, "%s: --dirty-log marks it is, because userfaultfd does not work here: %s\n",
		options->program_name, error.text);
	return DIRTY_LOG_MARKS;
}

static int fill(struct memory *memory, const struct options *options, struct rs_error *error)
{
	uint64_t bytes = options->populate_bytes;

	if (options->image)
		return memory_load_image(memory, options->image, error);
	memory_fill(memory, options->pattern, bytes < memory->bytes ? bytes : memory->bytes);
	return 0;
}

static int add_writers(struct guest *guest, const struct options *options, bool mark,
		       struct rs_error *error)
{
	const struct writers_config config = {
		.count = options->writers,
		.dirty_rate = options->dirty_rate,
		.mark = mark,
	};
	uint64_t bytes = options->working_set_bytes;
	struct workset set = { 0 };
	int ret;

	if (!bytes && guest->memory.bytes / 4 < DEFAULT_WORKING_SET_BYTES)
		bytes = guest->memory.bytes / 4;
	else if (!bytes)
		bytes = DEFAULT_WORKING_SET_BYTES;
	ret = workset_place(&set, &guest->memory, bytes, error);
	if (!ret)
		ret = writers_create(&config, &set, NULL, &guest->writers, error);
	workset_fini(&set);
	return ret;
}

int setup_source(struct guest *guest, const struct options *options, struct rs_error *error)
{
	uint64_t standard = options->memory_bytes;
	enum dirty_log log;
	int ret;

	if (!standard && !options->regions)
		standard = DEFAULT_MEMORY_BYTES;
	ret = add_blocks(&guest->memory, options, standard, error);
	if (!ret)
		ret = fill(&guest->memory, options, error);
	if (ret)
		return ret;
	log = choose_dirty_log(options);
	ret =
	    memory_register(&guest->memory, 0, guest->state,
			    log == DIRTY_LOG_USERFAULTFD ? &rs_dirty_log_userfaultfd : NULL, error);
	if (!ret && options->writers)
		ret = add_writers(guest, options, log == DIRTY_LOG_MARKS, error);
	if (ret)
		return ret;
	guest->running = true;
	if (guest->writers)
		writers_resume(guest->writers);
	return 0;
}

int setup_destination(struct guest *guest, const struct options *options, struct rs_error *error)
{
	int ret = add_blocks(&guest->memory, options, options->memory_bytes, error);

	if (!ret)
		ret = memory_register(&guest->memory, 0, guest->state, NULL, error);
	if (!ret && options->qemu)
		ret = qemu_guest_init(guest, options, error);
	guest->max_bytes = options->max_memory_bytes;
	guest->touch_announced = options->prealloc;
	guest->hold = options->verify;
	return ret;
}
