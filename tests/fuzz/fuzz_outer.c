/* SPDX-License-Identifier: MIT */
/*
 * A whole stream into rs_migrate_in(), in either form, one-way or two-way: nothing outside the
 * regions is written, the guest runs exactly if the migration says so, and whatever is left in
 * doubt can be settled, by a second stream or by decree.
 *
 * Input: a byte of options, then the stream; bytes that it leaves are a stream that reconnects.
 */
#include "fuzz/check.h"
#include "support/peer.h"
#include "support/guarded_memory.h"

#include <ramsync/migrate.h>
#include <ramsync/param.h>
#include <stdbool.h>
#include <errno.h>
#include <string.h>

#define OPTION_TWO_WAY 0x01
#define OPTION_SHORT_READS 0x02
#define OPTION_IGNORE_SHARED 0x04
#define OPTION_BIG_PAGES 0x08
#define OPTION_ANNOUNCE 0x10
#define OPTION_NO_DEVICES 0x20
#define OPTION_RESUME_FAILS 0x40
#define OPTION_DECREE 0x80

#define REGIONS 3
#define ROOM_PAGES 4u
#define SMALL_PAGE 4096u
#define BIG_PAGE 65536u

static struct guarded_memory small[REGIONS], big[REGIONS];

struct vm {
	struct rs_state *state;
	unsigned options;
	struct guarded_memory *memories; /* of this page size */
	int region_count;
	uint64_t max_bytes[REGIONS];
	int resumes; /* calls that were answered well */
};

static void add_region(struct vm *vm, const char *name, uint64_t used, uint64_t max, uint32_t flags)
{
	int index = vm->region_count++;
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = vm->memories[index].data,
		.used_bytes = used,
		.max_bytes = max,
		.guest_address = 0x1000,
		.flags = flags,
	};

	guarded_memory_reset(&vm->memories[index], max);
	vm->max_bytes[index] = max;
	CHECK(rs_region_add(vm->state, &config, NULL) == 0);
}

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct vm *vm = opaque;

	if (vm->region_count == REGIONS || used_bytes > vm->memories[0].room)
		return -ENOSPC;
	add_region(vm, name, used_bytes, used_bytes, RS_REGION_FRESH);
	return 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	struct vm *vm = opaque;

	(void)why;
	if (vm->options & OPTION_RESUME_FAILS)
		return -EIO;
	vm->resumes++;
	return 0;
}

/* Devices of four bytes where the stream does not say, and one that never reads all. */
static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	uint64_t bytes = section->bytes == RS_LENGTH_UNKNOWN ? 4 : section->bytes;

	(void)opaque;
	CHECK(section->name[0] != '\0' && strlen(section->name) <= 255);
	if (section->name[0] == 'x')
		return section->version == 1 ? 0 : -EINVAL;
	return rs_stream_skip(body, bytes);
}

static void on_event(void *opaque, const struct rs_event *event)
{
	(void)opaque;
	CHECK(event->text != NULL && strlen(event->text) < RS_ERROR_TEXT_BYTES);
	CHECK(strcmp(rs_status_name(event->status), "unknown") != 0);
}

static void open_vm(struct vm *vm, unsigned options)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = options & OPTION_BIG_PAGES
									 ? BIG_PAGE
									 : SMALL_PAGE };
	uint32_t page = config.target_page_bytes;

	*vm =
	    (struct vm){ .options = options, .memories = options & OPTION_BIG_PAGES ? big : small };
	CHECK(rs_state_create(&config, &vm->state) == 0);
	if (options & OPTION_IGNORE_SHARED)
		CHECK(rs_param_set(vm->state, "x-ignore-shared", "on") == 0);
	if (options & OPTION_ANNOUNCE)
		return;
	add_region(vm, "a", 2 * page, 2 * page, 0);
	add_region(vm, "b", page, 3 * page,
		   RS_REGION_RESIZABLE |
		       (options & OPTION_IGNORE_SHARED ? RS_REGION_IGNORED : RS_REGION_FRESH));
}

static void check_outcome(const struct vm *vm, int result)
{
	enum rs_status status = rs_migrate_status(vm->state);
	struct rs_error error;

	rs_error_get(vm->state, RS_ERROR_OF_MIGRATION, &error);
	if (result == 0) {
		CHECK(status == RS_STATUS_COMPLETED && vm->resumes == 1);
		return;
	}
	CHECK(result < 0 && vm->resumes == 0);
	CHECK(status == (result == RS_ERROR_IN_DOUBT ? RS_STATUS_IN_DOUBT : RS_STATUS_FAILED));
	CHECK(error.code != 0 && error.text[0] != '\0');
	CHECK(result == RS_ERROR_IN_DOUBT || error.code == result);
}

/* The rest of the input comes from a source that wants to know how it ended. What it says ends with
 * the session and its claim. */
static void reconnect(struct vm *vm, struct peer *peer)
{
	enum rs_status before = rs_migrate_status(vm->state);
	const uint8_t *rest = peer->input + peer->at;
	struct rs_stream *stream = peer_connect(peer, RS_STREAM_TWO_WAY);
	int result = rs_migrate_reconnect_in(vm->state, stream);
	enum rs_status after = rs_migrate_status(vm->state);
	const uint8_t *said = rest + rs_stream_bytes_read(stream);

	if (result == 0 && peer->has_session)
		CHECK(memcmp(said - 1 - PEER_SESSION_BYTES, peer->session, PEER_SESSION_BYTES) ==
		      0);
	if (result == 0 && before == RS_STATUS_IN_DOUBT)
		CHECK(after == (said[-1] == 1 ? RS_STATUS_COMPLETED : RS_STATUS_FAILED));
	else
		CHECK(after == before);
	CHECK(vm->resumes == (after == RS_STATUS_COMPLETED));
	rs_stream_close(stream, NULL);
}

static void settle(struct vm *vm)
{
	bool run = (vm->options & OPTION_DECREE) != 0;

	if (rs_migrate_status(vm->state) != RS_STATUS_IN_DOUBT) {
		CHECK(rs_migrate_resolve(vm->state, RS_RESOLVE_RUN) == -EINVAL);
		return;
	}
	int result = rs_migrate_resolve(vm->state, run ? RS_RESOLVE_RUN : RS_RESOLVE_DISCARD);

	if (run && vm->options & OPTION_RESUME_FAILS) {
		CHECK(result == -EIO && rs_migrate_status(vm->state) == RS_STATUS_IN_DOUBT);
		CHECK(rs_migrate_resolve(vm->state, RS_RESOLVE_DISCARD) == 0);
		run = false;
	} else {
		CHECK(result == 0);
	}
	CHECK(rs_migrate_status(vm->state) == (run ? RS_STATUS_COMPLETED : RS_STATUS_FAILED));
	CHECK(vm->resumes == run);
}

/* Whatever happened, the state is good for the next migration. */
static void check_idle(struct vm *vm)
{
	CHECK(rs_load_setup(vm->state, NULL, NULL) == 0);
	CHECK(rs_load_cleanup(vm->state) == 0);
}

static void run(struct vm *vm, struct peer *peer)
{
	const struct rs_vm_ops ops = {
		.size = sizeof(ops),
		.resume = resume,
		.load_device = vm->options & OPTION_NO_DEVICES ? NULL : load_device,
		.region_announced = vm->options & OPTION_ANNOUNCE ? announced : NULL,
		.event = on_event,
	};
	struct rs_stream *stream =
	    peer_connect(peer, vm->options & OPTION_TWO_WAY ? RS_STREAM_TWO_WAY : RS_STREAM_READ);

	check_outcome(vm, rs_migrate_in(vm->state, stream, &ops, vm));
	/* The stream reads ahead. */
	peer->at = rs_stream_bytes_read(stream);
	rs_stream_close(stream, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct peer peer;
	struct vm vm;

	if (bytes == 0)
		return 0;
	for (int i = 0; i < REGIONS && small[i].data == NULL; i++) {
		CHECK(guarded_memory_init(&small[i], ROOM_PAGES * SMALL_PAGE) == 0);
		CHECK(guarded_memory_init(&big[i], ROOM_PAGES * BIG_PAGE) == 0);
	}
	open_vm(&vm, data[0]);
	peer_init(&peer, data + 1, bytes - 1, vm.options & OPTION_SHORT_READS ? 7 : 0);
	run(&vm, &peer);
	if (peer.at < peer.bytes && rs_migrate_status(vm.state) != RS_STATUS_FAILED)
		reconnect(&vm, &peer);
	settle(&vm);
	check_idle(&vm);
	for (int i = 0; i < vm.region_count; i++)
		CHECK(guarded_memory_intact(&vm.memories[i], vm.max_bytes[i]));
	rs_state_destroy(vm.state);
	peer_fini(&peer);
	return 0;
}
