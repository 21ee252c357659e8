/* SPDX-License-Identifier: MIT */
/*
 * The source, with a destination that says anything at all: the guest runs on unless the source was
 * told otherwise or cannot know, and a reconnect never makes it run by mistake.
 *
 * Input: a byte of options, then return messages; bytes that the migration leaves are the
 * destination's answers on a second stream. PEER_SESSION_MARK stands for the offered session.
 */
#include "fuzz/check.h"
#include "support/peer.h"
#include "support/guarded_memory.h"

#include <ramsync/migrate.h>
#include <stdbool.h>
#include <errno.h>
#include <string.h>

#define OPTION_SHORT_READS 0x01
#define OPTION_STOP_FAILS 0x02
#define OPTION_DEVICES_FAIL 0x04
#define OPTION_DECREE 0x08

#define REGION_BYTES (16u * 4096u)

static struct guarded_memory memory;

struct vm {
	struct rs_state *state;
	struct rs_region *region;
	unsigned options;
	bool running;
	int stops;
};

static int stop(void *opaque)
{
	struct vm *vm = opaque;

	CHECK(vm->running);
	vm->running = false;
	vm->stops++;
	/* The last thing that it did. */
	memory.data[0]++;
	rs_dirty_mark(vm->region, 0, 1);
	return vm->options & OPTION_STOP_FAILS ? -EIO : 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	struct vm *vm = opaque;

	CHECK(why == RS_RESUME_STAYED);
	CHECK(!vm->running);
	vm->running = true;
	return 0;
}

static int save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = "cpu", .version = 1 };
	struct vm *vm = opaque;

	CHECK(!vm->running);
	if (vm->options & OPTION_DEVICES_FAIL)
		return -EIO;
	return rs_device_save(writer, &section, "state", 5);
}

static void open_vm(struct vm *vm, unsigned options)
{
	*vm = (struct vm){ .options = options, .running = true };
	if (memory.data == NULL)
		CHECK(guarded_memory_init(&memory, REGION_BYTES) == 0);
	guarded_memory_reset(&memory, REGION_BYTES);
	memset(memory.data + 4096, 0x77, 3u * 4096u);
	const struct rs_region_config config = { .size = sizeof(config),
						 .name = "ram",
						 .host = memory.data,
						 .used_bytes = REGION_BYTES };

	CHECK(rs_state_create(NULL, &vm->state) == 0);
	CHECK(rs_region_add(vm->state, &config, &vm->region) == 0);
}

static void check_outcome(const struct vm *vm, int result)
{
	enum rs_status status = rs_migrate_status(vm->state);
	struct rs_error error;

	rs_error_get(vm->state, RS_ERROR_OF_MIGRATION, &error);
	CHECK(vm->stops <= 1);
	if (result == 0) {
		CHECK(status == RS_STATUS_COMPLETED && !vm->running);
	} else if (result == RS_ERROR_IN_DOUBT) {
		CHECK(status == RS_STATUS_IN_DOUBT && !vm->running);
		CHECK(error.code != 0 && error.text[0] != '\0');
	} else {
		CHECK(status == RS_STATUS_FAILED && vm->running);
		CHECK(error.code == result && error.text[0] != '\0');
	}
}

/* Once COMMIT is written only the destination's own FAILED gives the guest back. */
static void check_commit(const struct peer *peer, int result)
{
	static const uint8_t commit[] = { 0x08, 0x52, 0x55, 0, 0 };
	const uint8_t *end = peer->tail + sizeof(peer->tail);
	bool committed = memcmp(end - sizeof(commit), commit, sizeof(commit)) == 0;
	bool refused = memmem(peer->input, peer->at, "\x52\x56", 2) != NULL;

	CHECK(committed || result != RS_ERROR_IN_DOUBT);
	CHECK(!committed || result == RS_ERROR_IN_DOUBT || (result != 0 && refused));
}

/* Ask the destination, whose answers are the rest of the input. */
static void reconnect(struct vm *vm, struct peer *peer)
{
	enum rs_status before = rs_migrate_status(vm->state);
	const uint8_t *verdict = peer->input + peer->at;
	struct rs_stream *stream = peer_connect(peer, RS_STREAM_TWO_WAY);
	int result = rs_migrate_reconnect_out(vm->state, stream);
	enum rs_status after = rs_migrate_status(vm->state);

	if (before == RS_STATUS_COMPLETED)
		CHECK(result == -EINVAL);
	if (before == RS_STATUS_IN_DOUBT && result == 0)
		CHECK(after == (verdict[1] == 0x55 ? RS_STATUS_COMPLETED : RS_STATUS_FAILED));
	else
		CHECK(after == before);
	CHECK(vm->running == (after == RS_STATUS_FAILED));
	rs_stream_close(stream, NULL);
}

static void decree(struct vm *vm)
{
	bool run = (vm->options & OPTION_DECREE) != 0;

	if (rs_migrate_status(vm->state) != RS_STATUS_IN_DOUBT)
		return;
	CHECK(rs_migrate_resolve(vm->state, run ? RS_RESOLVE_RUN : RS_RESOLVE_DISCARD) == 0);
	CHECK(vm->running == run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct rs_vm_ops ops = {
		.size = sizeof(ops), .stop = stop, .resume = resume, .save_devices = save_devices
	};
	struct peer peer;
	struct vm vm;

	if (bytes == 0)
		return 0;
	open_vm(&vm, data[0]);
	peer_init(&peer, data + 1, bytes - 1, vm.options & OPTION_SHORT_READS ? 3 : 0);
	struct rs_stream *stream = peer_connect(&peer, RS_STREAM_TWO_WAY);

	int result = rs_migrate_out(vm.state, stream, &ops, &vm);

	check_outcome(&vm, result);
	peer.at = rs_stream_bytes_read(stream);
	check_commit(&peer, result);
	rs_stream_close(stream, NULL);
	reconnect(&vm, &peer);
	decree(&vm);
	rs_state_destroy(vm.state);
	peer_fini(&peer);
	return 0;
}
