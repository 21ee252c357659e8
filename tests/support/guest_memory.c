/* SPDX-License-Identifier: MIT */
#include "support/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES (2ull << 20)

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static void *map(const struct guest_memory *memory, int flags)
{
	void *host = mmap(NULL, memory->bytes, PROT_READ | PROT_WRITE, flags, memory->fd, 0);

	return host == MAP_FAILED ? NULL : host;
}

static int make_file(struct guest_memory *memory)
{
	memory->fd = memfd_create("guest", MFD_CLOEXEC);
	if (memory->fd < 0 || ftruncate(memory->fd, (off_t)memory->bytes) != 0)
		return -errno;
	return 0;
}

int guest_memory_map(struct guest_memory *memory, enum guest_kind kind, uint64_t bytes)
{
	static const int flags[] = {
		[GUEST_PRIVATE] = MAP_PRIVATE | MAP_ANONYMOUS,
		[GUEST_MEMFD] = MAP_SHARED,
		[GUEST_MEMFD_ALIASED] = MAP_SHARED,
		[GUEST_PRIVATE_FILE] = MAP_PRIVATE,
		[GUEST_HUGETLB] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
	};
	int result = 0;

	*memory = (struct guest_memory){ .kind = kind, .fd = -1 };
	memory->host_page_bytes =
	    kind == GUEST_HUGETLB ? HUGE_PAGE_BYTES : (uint64_t)sysconf(_SC_PAGESIZE);
	memory->bytes = round_up(bytes, memory->host_page_bytes);
	if ((flags[kind] & MAP_ANONYMOUS) == 0)
		result = make_file(memory);
	if (result == 0)
		memory->host = map(memory, flags[kind]);
	if (result == 0 && memory->host != NULL && kind == GUEST_MEMFD_ALIASED)
		memory->alias = map(memory, MAP_SHARED);
	if (result == 0 &&
	    (memory->host == NULL || (kind == GUEST_MEMFD_ALIASED && memory->alias == NULL)))
		result = -ENOMEM;
	if (result != 0)
		guest_memory_unmap(memory);
	return result;
}

void guest_memory_unmap(struct guest_memory *memory)
{
	if (memory->host != NULL)
		munmap(memory->host, memory->bytes);
	if (memory->alias != NULL)
		munmap(memory->alias, memory->bytes);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct guest_memory){ .fd = -1 };
}

void guest_memory_describe(const struct guest_memory *memory, struct rs_region_config *config)
{
	config->host = memory->host;
	config->alias = memory->alias;
	config->host_page_bytes = memory->host_page_bytes;
	if (memory->fd >= 0) {
		config->fd = memory->fd;
		config->flags |= RS_REGION_HAS_FD;
	}
	if (guest_memory_is_shared(memory))
		config->flags |= RS_REGION_SHARED;
}

bool guest_memory_is_shared(const struct guest_memory *memory)
{
	return memory->kind == GUEST_MEMFD || memory->kind == GUEST_MEMFD_ALIASED;
}

bool guest_memory_can_discard(const struct guest_memory *memory)
{
	return memory->kind == GUEST_PRIVATE || guest_memory_is_shared(memory);
}

void guest_memory_discard(const struct guest_memory *memory, uint64_t offset, uint64_t bytes)
{
	madvise(memory->host + offset, bytes,
		memory->kind == GUEST_PRIVATE ? MADV_DONTNEED : MADV_REMOVE);
}

const char *guest_kind_name(enum guest_kind kind)
{
	static const char *const names[] = {
		[GUEST_PRIVATE] = "private",
		[GUEST_MEMFD] = "memfd",
		[GUEST_MEMFD_ALIASED] = "memfd with an alias",
		[GUEST_PRIVATE_FILE] = "private file",
		[GUEST_HUGETLB] = "hugetlb",
	};

	return names[kind];
}
