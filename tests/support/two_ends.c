/* SPDX-License-Identifier: MIT */
#include "support/two_ends.h"

#include "support/plain_region.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const char *const names[TWO_ENDS_REGIONS] = { "a", "b" };

static void end_open(struct end *end, uint32_t page_bytes, uint32_t flags)
{
	uint64_t bytes = (uint64_t)TWO_ENDS_PAGES * page_bytes;

	memset(end, 0, sizeof(*end));
	end->state = plain_state(page_bytes);
	end->vm.state = end->state;
	end->vm.device = "dev";
	end->vm.device_version = 3;
	end->vm.device_bytes = 5;
	for (size_t i = 0; i < TWO_ENDS_REGIONS; i++) {
		end->memory[i] = plain_memory_map(bytes);
		end->regions[i] =
		    plain_region_add(end->state, names[i], end->memory[i], bytes, flags);
	}
}

static void fill(uint8_t *memory, uint64_t page_bytes, uint8_t seed)
{
	for (unsigned page = 0; page < TWO_ENDS_PAGES; page++) {
		uint8_t *at = memory + page * page_bytes;

		if (page % 4 == 3)
			continue; /* never populated */
		memset(at, page % 4 == 2 ? 0 : (int)(page + seed), page_bytes);
		at[page_bytes - 1] = (uint8_t)(page % 4 == 2 ? 0 : seed);
	}
}

void two_ends_open(struct two_ends *ends, uint32_t page_bytes)
{
	memset(ends, 0, sizeof(*ends));
	ends->page_bytes = page_bytes;
	end_open(&ends->source, page_bytes, 0);
	end_open(&ends->destination, page_bytes, RS_REGION_FRESH);
	for (size_t i = 0; i < TWO_ENDS_REGIONS; i++)
		fill(ends->source.memory[i], page_bytes, (uint8_t)(i + 1));
}

static void end_disconnect(struct end *end)
{
	rs_stream_close(end->stream, NULL);
	end->stream = NULL;
}

static void end_close(struct end *end, uint64_t page_bytes)
{
	rs_state_destroy(end->state);
	end_disconnect(end);
	for (size_t i = 0; i < TWO_ENDS_REGIONS; i++)
		plain_memory_unmap(end->memory[i], TWO_ENDS_PAGES * page_bytes);
}

void two_ends_close(struct two_ends *ends)
{
	end_close(&ends->source, ends->page_bytes);
	end_close(&ends->destination, ends->page_bytes);
}

void two_ends_connect(struct two_ends *ends, const struct fake_options *there,
		      const struct fake_options *back)
{
	end_disconnect(&ends->source);
	end_disconnect(&ends->destination);
	assert_int_equal(
	    fake_stream_pair(there, back, &ends->source.stream, &ends->destination.stream), 0);
}

void two_ends_connect_one_way(struct two_ends *ends, const struct fake_options *there)
{
	end_disconnect(&ends->source);
	end_disconnect(&ends->destination);
	assert_int_equal(fake_stream_pipe(there, &ends->source.stream, &ends->destination.stream),
			 0);
}

static void journal_begin(struct journal_vm *vm)
{
	vm->journal[0] = '\0';
	vm->failure[0] = '\0';
	vm->warning[0] = '\0';
}

static void *receive(void *argument)
{
	struct end *end = argument;

	end->result = rs_migrate_in(end->state, end->stream, &journal_vm_ops, &end->vm);
	end_disconnect(end);
	return NULL;
}

void two_ends_migrate(struct two_ends *ends)
{
	struct end *source = &ends->source, *destination = &ends->destination;
	pthread_t thread;

	journal_begin(&source->vm);
	journal_begin(&destination->vm);
	assert_int_equal(pthread_create(&thread, NULL, receive, destination), 0);
	source->result =
	    rs_migrate_out(source->state, source->stream, &journal_vm_ops, &source->vm);
	end_disconnect(source);
	pthread_join(thread, NULL);
}

bool two_ends_equal(const struct two_ends *ends)
{
	for (size_t i = 0; i < TWO_ENDS_REGIONS; i++)
		if (memcmp(ends->source.memory[i], ends->destination.memory[i],
			   TWO_ENDS_PAGES * ends->page_bytes) != 0)
			return false;
	return true;
}

const char *end_error(const struct end *end)
{
	return plain_error_text(end->state, RS_ERROR_OF_MIGRATION);
}
