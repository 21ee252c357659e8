/* SPDX-License-Identifier: MIT */
#include "integration/odd_streams.h"

#include "support/guarded_memory.h"
#include "support/peer.h"

#include <ramsync/param.h>
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define REGIONS 3
#define LAX_AS 702         /* parameter lax: as lax as this version of QEMU */
#define ODD_LAX (1u << 31) /* the parameter is on */
#define UNTOUCHED 0x11     /* what memory holds before */

struct odd_vm {
	struct rs_state *state;
	unsigned options;
	int region_count;
	char names[REGIONS];
	size_t max_bytes[REGIONS];
	struct guarded_memory memory[REGIONS];
	int resumes;
	struct rs_error paused; /* why, if it did */
};

static int add_region(struct odd_vm *vm, const char *name, uint64_t used, uint64_t max,
		      uint32_t flags)
{
	int index = vm->region_count++;
	struct guarded_memory *memory = &vm->memory[index];

	assert_int_equal(guarded_memory_init(memory, max), 0);
	guarded_memory_reset(memory, max);
	memset(memory->data, UNTOUCHED, max);
	vm->max_bytes[index] = max;
	vm->names[index] = name[0];
	const struct rs_region_config config = { .size = sizeof(config),
						 .name = name,
						 .host = memory->data,
						 .used_bytes = used,
						 .max_bytes = max,
						 .guest_address = 0x1000,
						 .flags = flags };

	return rs_region_add(vm->state, &config, NULL);
}

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct odd_vm *vm = opaque;

	if (strcmp(name, "c") != 0 || used_bytes > 2 * PAGE)
		return -E2BIG;
	return add_region(vm, name, used_bytes, used_bytes, 0);
}

static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	const struct odd_vm *vm = opaque;

	if (vm->options & ODD_DEVICE_FAILS)
		return -EIO;
	if (vm->options & ODD_DEVICE_LAZY)
		return 0;
	return rs_stream_skip(body, section->bytes == RS_LENGTH_UNKNOWN ? 4 : section->bytes);
}

static int load_opaque(void *opaque, const void *data, size_t bytes)
{
	(void)opaque, (void)data, (void)bytes;
	return 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	struct odd_vm *vm = opaque;

	(void)why;
	vm->resumes++;
	return 0;
}

/* Nobody will bring another connection. */
static void on_event(void *opaque, const struct rs_event *event)
{
	struct odd_vm *vm = opaque;

	if (event->type != RS_EVENT_STATUS || event->status != RS_STATUS_POSTCOPY_PAUSED)
		return;
	vm->paused.code = ODD_PAUSES;
	snprintf(vm->paused.text, sizeof(vm->paused.text), "%s", event->text);
	assert_int_equal(rs_migrate_resolve(vm->state, RS_RESOLVE_DISCARD), 0);
}

static void set(struct odd_vm *vm, unsigned option, const char *name, const char *value)
{
	if (vm->options & option)
		assert_int_equal(rs_param_set(vm->state, name, value), 0);
}

static void open_vm(struct odd_vm *vm, unsigned options)
{
	*vm = (struct odd_vm){ .options = options };
	assert_int_equal(rs_state_create(NULL, &vm->state), 0);
	set(vm, ODD_IGNORE_SHARED, "x-ignore-shared", "on");
	set(vm, ODD_MACHINE, "machine", "pc-i440fx-7.2");
	set(vm, ODD_UUID, "uuid", "abababab-abab-abab-abab-abababababab");
	set(vm, ODD_LAX, "lax", "on");
	set(vm, ODD_COMPRESS, "compress", "on");
	set(vm, ODD_POSTCOPY, "postcopy-ram", "on");
	set(vm, ODD_HUGE_DEVICES, "max-device-state", "1T");
	assert_int_equal(add_region(vm, "a", 4 * PAGE, 4 * PAGE, 0), 0);
	uint32_t readonly = options & ODD_READONLY ? RS_REGION_READONLY : 0;

	assert_int_equal(add_region(vm, "b", 2 * PAGE, 4 * PAGE, RS_REGION_RESIZABLE | readonly),
			 0);
	if (options & ODD_IGNORE_SHARED)
		assert_int_equal(add_region(vm, "i", 2 * PAGE, 2 * PAGE, RS_REGION_IGNORED), 0);
}

static void close_vm(struct odd_vm *vm)
{
	rs_state_destroy(vm->state);
	for (int i = 0; i < vm->region_count; i++) {
		assert_true(guarded_memory_intact(&vm->memory[i], vm->max_bytes[i]));
		guarded_memory_fini(&vm->memory[i]);
	}
}

/* The guest may have run here, and does not any more. */
static void check_paused(const struct odd_vm *vm, int result)
{
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(rs_migrate_status(vm->state), RS_STATUS_FAILED);
	assert_true(vm->paused.text[0] != '\0');
}

static void check_outcome(const struct odd_vm *vm, int result, const struct rs_error *error)
{
	enum rs_status status = rs_migrate_status(vm->state);

	assert_int_equal(vm->resumes, result == 0);
	if (result == 0)
		assert_int_equal(status, RS_STATUS_COMPLETED);
	else if (result == RS_ERROR_IN_DOUBT)
		assert_int_equal(status, RS_STATUS_IN_DOUBT);
	else
		assert_int_equal(status, RS_STATUS_FAILED);
	if (result != 0) {
		assert_true(error->text[0] != '\0');
		assert_true(result == RS_ERROR_IN_DOUBT || error->code == result);
	}
}

/* One page of an outcome, as in "a0:11,fff=aa"; how much of the text it is, 0 if it is none. */
static int page_of_outcome(const char *text, char *region, unsigned *number, uint8_t *page)
{
	unsigned value, at;
	int used = 0, more = 0;

	if (sscanf(text, " %c%u:%x%n", region, number, &value, &used) != 3)
		return 0;
	memset(page, (int)value, PAGE);
	while (sscanf(text + used, ",%x=%n", &at, &more) == 1) {
		for (used += more; isxdigit(text[used]); used += 2) {
			assert_int_equal(sscanf(text + used, "%2x", &value), 1);
			assert_in_range(at, 0, PAGE - 1);
			page[at++] = (uint8_t)value;
		}
	}
	return used;
}

/* outcome: as in a row that is taken. */
static void check_pages(const struct odd_vm *vm, const char *what, const char *outcome)
{
	uint8_t expected[PAGE];
	char region;
	unsigned page;
	int used;

	for (; (used = page_of_outcome(outcome, &region, &page, expected)) != 0; outcome += used) {
		const char *found = memchr(vm->names, region, (size_t)vm->region_count);

		assert_non_null(found);
		size_t index = (size_t)(found - vm->names);

		assert_true((page + 1) * PAGE <= vm->max_bytes[index]);
		if (memcmp(vm->memory[index].data + page * PAGE, expected, PAGE) != 0)
			fail_msg("%s: page %u of %c is not %.*s", what, page, region, used,
				 outcome);
	}
	assert_string_equal(outcome, "");
}

static int receive(struct odd_vm *vm, const uint8_t *data, size_t bytes, struct rs_error *error)
{
	unsigned options = vm->options;
	const struct rs_vm_ops ops = {
		.size = sizeof(ops),
		.resume = resume,
		.load_device = options & ODD_NO_DEVICES ? NULL : load_device,
		.load_opaque = options & ODD_OPAQUE ? load_opaque : NULL,
		.region_announced = options & ODD_ANNOUNCED ? announced : NULL,
		.event = on_event,
	};
	struct peer peer;

	peer_init(&peer, data, bytes, 0);
	struct rs_stream *stream =
	    peer_connect(&peer, options & ODD_TWO_WAY ? RS_STREAM_TWO_WAY : RS_STREAM_READ);
	int result = rs_migrate_in(vm->state, stream, &ops, vm);

	rs_error_get(vm->state, RS_ERROR_OF_MIGRATION, error);
	/* A package that fails ends it, whether or not a pause came first. */
	if (vm->paused.code != 0 && result == -ECANCELED) {
		check_paused(vm, result);
		*error = vm->paused;
		result = ODD_PAUSES;
	} else {
		check_outcome(vm, result, error);
	}
	rs_stream_close(stream, NULL);
	peer_fini(&peer);
	return result;
}

int odd_stream_receive(const uint8_t *data, size_t bytes, unsigned options, struct rs_error *error)
{
	struct odd_vm vm;

	open_vm(&vm, options);
	int result = receive(&vm, data, bytes, error);

	close_vm(&vm);
	return result;
}

const char *odd_stream_complaint(const struct odd_stream *row)
{
	struct qemu_verdict qemu = row->qemu;
	bool taken = row->code == 0;
	bool reason = row->reason[0] != '\0';

	if (row->options & ODD_LAX_TAKES && (taken || qemu.from > LAX_AS || qemu.before <= LAX_AS))
		return "lax is for what QEMU 7.2 takes and this end refuses";
	if (qemu.from < 0)
		return reason ? "there is no verdict of QEMU's to have a reason against" : NULL;
	bool taken_there = qemu.from < qemu.before;

	if (taken && !taken_there)
		return "no QEMU takes it, and it is taken here";
	if (!taken && taken_there && !reason)
		return "QEMU takes it, and there is no reason why it is refused here";
	if (reason && (taken || !taken_there))
		return "there is a reason for what is no difference";
	return NULL;
}

static void run_stream(const struct odd_stream *row, const struct stream_bytes *stream,
		       unsigned lax, int code, const char *outcome)
{
	struct rs_error error = { 0 };
	struct odd_vm vm;

	open_vm(&vm, row->options | lax);
	int result = receive(&vm, stream->data, stream->bytes, &error);

	if (result != code)
		fail_msg("%s%s: %d (%s) instead of %d", row->what, lax ? ", lax" : "", result,
			 error.text, code);
	if (result != 0 && strstr(error.text, outcome) == NULL)
		fail_msg("%s: \"%s\" does not say \"%s\"", row->what, error.text, outcome);
	if (result == 0)
		check_pages(&vm, row->what, outcome);
	close_vm(&vm);
}

static void run_row(const struct odd_stream *row)
{
	struct stream_bytes stream = { 0 };
	char *outcome = strdup(row->outcome);

	assert_non_null(outcome);
	char *both = strstr(outcome, " | ");

	if ((both != NULL) != ((row->options & (ODD_LAX_TAKES | ODD_LAX_MEMORY)) != 0))
		fail_msg("%s: not one outcome for each run", row->what);
	if (both != NULL)
		*both = '\0';
	stream_text(&stream, row->text);
	run_stream(row, &stream, 0, row->code, outcome);
	/* lax is for the rows that say so, and changes nothing else. */
	if (both != NULL)
		run_stream(row, &stream, ODD_LAX, 0, both + strlen(" | "));
	else
		run_stream(row, &stream, ODD_LAX, row->code, outcome);
	stream_free(&stream);
	free(outcome);
}

/* A row that stands twice would sooner or later have two verdicts. */
static void check_unique(const struct odd_stream *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (rows[i].options == rows[j].options &&
			    strcmp(rows[i].text, rows[j].text) == 0)
				fail_msg("'%s' is '%s' again", rows[i].what, rows[j].what);
}

/* A file for the stream, and a line about it in the file "rows". */
static void write_row(const struct odd_stream *row, const char *folder)
{
	static unsigned number;
	struct stream_bytes stream = { .for_qemu = true };
	const char *lax = strstr(row->outcome, " | ");
	const char *pages = lax != NULL ? lax + strlen(" | ") : row->code == 0 ? row->outcome : "";
	char path[4096], name[64];

	snprintf(name, sizeof(name), "%s.%u", program_invocation_short_name, number++);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	stream_text(&stream, row->text);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fwrite(stream.data, 1, stream.bytes, file);
	assert_int_equal(fclose(file), 0);
	stream_free(&stream);
	snprintf(path, sizeof(path), "%s/rows", folder);
	file = fopen(path, "a");
	assert_non_null(file);
	fprintf(file, "%s\t%u\t%d\t%d\t%s\t%s\n", name, row->options, row->qemu.from,
		row->qemu.before, row->what, pages);
	assert_int_equal(fclose(file), 0);
}

void odd_streams_run(const struct odd_stream *rows, size_t count)
{
	const char *folder = getenv("RS_ODD_STREAMS_TO");

	check_unique(rows, count);
	for (size_t i = 0; i < count; i++) {
		const char *complaint = odd_stream_complaint(&rows[i]);

		if (complaint != NULL)
			fail_msg("%s: %s", rows[i].what, complaint);
		if (folder != NULL)
			write_row(&rows[i], folder);
		else
			run_row(&rows[i]);
	}
}
