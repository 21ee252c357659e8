/* SPDX-License-Identifier: MIT */
#include "support/guarded_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0xc5

int guarded_memory_init(struct guarded_memory *memory, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	memory->room = (bytes + page - 1) & ~(page - 1);
	memory->map_bytes = memory->room + 2 * page;
	memory->map = mmap(NULL, memory->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory->map == MAP_FAILED)
		return -errno;
	memory->data = memory->map + page;
	if (mprotect(memory->data, memory->room, PROT_READ | PROT_WRITE) == 0)
		return 0;
	int code = -errno;

	munmap(memory->map, memory->map_bytes);
	return code;
}

void guarded_memory_fini(struct guarded_memory *memory)
{
	if (memory->map != NULL)
		munmap(memory->map, memory->map_bytes);
	*memory = (struct guarded_memory){ 0 };
}

void guarded_memory_reset(struct guarded_memory *memory, size_t used)
{
	madvise(memory->data, memory->room, MADV_DONTNEED);
	memset(memory->data + used, CANARY, memory->room - used);
}

bool guarded_memory_intact(const struct guarded_memory *memory, size_t used)
{
	const uint8_t *rest = memory->data + used;
	size_t bytes = memory->room - used;

	/* All of it is equal if each byte equals the next one. */
	return bytes == 0 || (rest[0] == CANARY && memcmp(rest, rest + 1, bytes - 1) == 0);
}
