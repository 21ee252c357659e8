/* SPDX-License-Identifier: MIT */
#include "guest/memory.h"
#include "text/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROM_BYTES (256u << 10)
#define COPY_BYTES (1u << 20)

bool memory_kind_parse(const char *text, enum memory_kind *kind)
{
	static const char *const names[] = { "anon", "memfd", "hugetlb" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]))
			continue;
		*kind = (enum memory_kind)i;
		return true;
	}
	return false;
}

static int block_open_fd(struct memory_block *block, struct rs_error *error)
{
	unsigned flags = MFD_CLOEXEC | (block->kind == MEMORY_HUGETLB ? MFD_HUGETLB : 0);
	struct stat st;

	block->fd = memfd_create(block->name, flags);
	if (block->fd < 0 || fstat(block->fd, &st))
		return fail(error, -errno, "region \"%s\": no memfd: %s", block->name,
			    strerror(errno));
	if (block->kind == MEMORY_HUGETLB)
		block->host_page_bytes = (uint64_t)st.st_blksize;
	if (block->bytes % block->host_page_bytes)
		return fail(error, -EINVAL,
			    "region \"%s\": %" PRIu64 " bytes are not whole pages of %" PRIu64,
			    block->name, block->bytes, block->host_page_bytes);
	if (ftruncate(block->fd, (off_t)block->bytes))
		return fail(error, -errno, "region \"%s\": memfd of %" PRIu64 " bytes: %s",
			    block->name, block->bytes, strerror(errno));
	return 0;
}

static int block_map(struct memory_block *block, struct rs_error *error)
{
	/* Huge pages are reserved at once: to run out of them later would be a SIGBUS. */
	int flags = block->kind == MEMORY_HUGETLB ? 0 : MAP_NORESERVE;
	int err;
	void *host;

	flags |= block->kind == MEMORY_ANON ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	host = mmap(NULL, block->bytes, PROT_READ | PROT_WRITE, flags, block->fd, 0);
	if (host != MAP_FAILED) {
		block->host = host;
		return 0;
	}
	err = errno;
	return fail(error, -err, "region \"%s\": cannot map %" PRIu64 " bytes: %s%s", block->name,
		    block->bytes, strerror(err),
		    block->kind == MEMORY_HUGETLB ? " (see /proc/sys/vm/nr_hugepages)" : "");
}

static void block_destroy(struct memory_block *block)
{
	if (block->host)
		munmap(block->host, block->bytes);
	if (block->fd >= 0)
		close(block->fd);
}

static int block_create(struct memory_block *block, const char *name, enum memory_kind kind,
			uint64_t bytes, struct rs_error *error)
{
	int ret = 0;

	*block = (struct memory_block){ .kind = kind, .bytes = bytes, .fd = -1, .fresh = true };
	block->host_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (!*name || strlen(name) >= sizeof(block->name))
		return fail(error, -EINVAL, "a region's name has 1 to %zu bytes",
			    sizeof(block->name) - 1);
	memcpy(block->name, name, strlen(name));
	if (!bytes || bytes > INT64_MAX)
		return fail(error, -EINVAL, "region \"%s\" cannot have %" PRIu64 " bytes", name,
			    bytes);
	if (kind != MEMORY_ANON)
		ret = block_open_fd(block, error);
	if (!ret)
		ret = block_map(block, error);
	if (ret)
		block_destroy(block);
	return ret;
}

static int add(struct memory *memory, const char *name, enum memory_kind kind, uint64_t bytes,
	       struct rs_error *error)
{
	struct memory_block *grown;
	int ret;

	grown = realloc(memory->block, (memory->count + 1) * sizeof(*grown));
	if (!grown)
		return fail(error, -ENOMEM, "region \"%s\": out of memory", name);
	memory->block = grown;
	ret = block_create(&grown[memory->count], name, kind, bytes, error);
	if (ret)
		return ret;
	memory->count++;
	memory->bytes += bytes;
	return 0;
}

int memory_add(struct memory *memory, const char *name, enum memory_kind kind, uint64_t bytes,
	       struct rs_error *error)
{
	if (bytes % MEMORY_GRAIN_BYTES)
		return fail(error, -EINVAL,
			    "region \"%s\": %" PRIu64 " bytes are not a multiple of %u", name,
			    bytes, MEMORY_GRAIN_BYTES);
	return add(memory, name, kind, bytes, error);
}

int memory_add_announced(struct memory *memory, const char *name, uint64_t bytes,
			 uint64_t max_bytes, struct rs_error *error)
{
	if (bytes > max_bytes || memory->bytes > max_bytes - bytes)
		return fail(error, -ENOMEM,
			    "region \"%s\" of %" PRIu64 " bytes: the memory would be larger than "
			    "--max-memory %" PRIu64,
			    name, bytes, max_bytes);
	return add(memory, name, MEMORY_ANON, bytes, error);
}

int memory_add_standard(struct memory *memory, uint64_t bytes, struct rs_error *error)
{
	uint64_t low;
	int ret;

	if (bytes < (1u << 20) || bytes % MEMORY_GRAIN_BYTES)
		return fail(error, -EINVAL,
			    "--memory %" PRIu64 " is not a multiple of %u, at least 1M", bytes,
			    MEMORY_GRAIN_BYTES);
	low = bytes / 2 - bytes / 2 % MEMORY_GRAIN_BYTES;
	ret = memory_add(memory, "ram.low", MEMORY_ANON, low, error);
	if (!ret)
		ret = memory_add(memory, "ram.high", MEMORY_MEMFD, bytes - low - ROM_BYTES, error);
	if (!ret)
		ret = memory_add(memory, "rom", MEMORY_ANON, ROM_BYTES, error);
	if (!ret)
		memory->block[memory->count - 1].rom = true;
	return ret;
}

void memory_destroy(struct memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++)
		block_destroy(&memory->block[i]);
	free(memory->block);
	*memory = (struct memory){ 0 };
}

void memory_touch(struct memory *memory, unsigned first_block)
{
	for (unsigned i = first_block; i < memory->count; i++) {
		struct memory_block *block = &memory->block[i];
		volatile uint8_t *host = block->host;

		/* Huge pages where the system has them, as VMMs ask for their guests. */
		if (block->kind == MEMORY_ANON)
			(void)madvise(block->host, block->bytes, MADV_HUGEPAGE);
		for (uint64_t at = 0; at < block->bytes; at += block->host_page_bytes)
			host[at] = 0;
		block->fresh = false;
	}
}

uint64_t memory_share(const struct memory *memory, uint64_t bytes, bool rom, unsigned index)
{
	uint64_t pages = bytes / PATTERN_PAGE_BYTES;
	uint64_t total = 0, before = 0, after;

	for (unsigned i = 0; i < memory->count; i++) {
		if (!rom && memory->block[i].rom)
			continue;
		total += memory->block[i].bytes / PATTERN_PAGE_BYTES;
		if (i < index)
			before = total;
	}
	if (!rom && memory->block[index].rom)
		return 0;
	after = before + memory->block[index].bytes / PATTERN_PAGE_BYTES;
	/* Borders are rounded, not shares, so that the shares add up. */
	before = (uint64_t)((unsigned __int128)before * pages / total);
	after = (uint64_t)((unsigned __int128)after * pages / total);
	return (after - before) * PATTERN_PAGE_BYTES;
}

void memory_fill(struct memory *memory, enum pattern pattern, uint64_t bytes)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < memory->count; i++) {
		struct memory_block *block = &memory->block[i];
		uint64_t end = memory_share(memory, bytes, true, i);

		for (uint64_t at = 0; at < end; at += PATTERN_PAGE_BYTES)
			pattern_fill(block->host + at, pattern, (first + at) / PATTERN_PAGE_BYTES);
		block->fresh = block->fresh && !end;
		first += block->bytes;
	}
}

/* Read [@from, @to) of the file into the memory, at the same place. */
static int image_read(struct memory *memory, int fd, uint64_t from, uint64_t to)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < memory->count; first += memory->block[i++].bytes) {
		struct memory_block *block = &memory->block[i];

		while (from < to && from < first + block->bytes) {
			uint64_t room = first + block->bytes - from;
			uint64_t want = to - from < room ? to - from : room;
			ssize_t got = pread(fd, block->host + (from - first),
					    want < COPY_BYTES ? want : COPY_BYTES, (off_t)from);

			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return got < 0 ? -errno : -EIO;
			block->fresh = false;
			from += (uint64_t)got;
		}
	}
	return 0;
}

static int image_read_data(struct memory *memory, int fd, uint64_t bytes)
{
	uint64_t end = 0;

	while (end < bytes) {
		off_t data = lseek(fd, (off_t)end, SEEK_DATA);
		off_t hole;
		int ret;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		end = (uint64_t)hole;
		ret = image_read(memory, fd, (uint64_t)data, end < bytes ? end : bytes);
		if (ret)
			return ret;
	}
	return 0;
}

int memory_load_image(struct memory *memory, const char *path, struct rs_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int ret;

	if (fd < 0)
		return fail(error, -errno, "image %s: %s", path, strerror(errno));
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode))
		ret = fail(error, -EINVAL, "image %s: not a regular file", path);
	else if ((uint64_t)st.st_size > memory->bytes)
		ret = fail(error, -EFBIG,
			   "image %s: its %jd bytes do not fit into the memory of %" PRIu64, path,
			   (intmax_t)st.st_size, memory->bytes);
	else
		ret = image_read_data(memory, fd, (uint64_t)st.st_size);
	if (ret)
		fail(error, ret, "image %s: %s", path, strerror(-ret));
	close(fd);
	return ret;
}

static int block_register(struct memory_block *block, struct rs_state *state,
			  const struct rs_dirty_log_ops *log)
{
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = block->name,
		.host = block->host,
		.used_bytes = block->bytes,
		.host_page_bytes = block->host_page_bytes,
		.guest_address = block->guest_address,
		.flags = block->ignored ? RS_REGION_IGNORED : 0,
	};
	int ret;

	if (block->fd >= 0) {
		config.fd = block->fd;
		config.flags |= RS_REGION_HAS_FD | RS_REGION_SHARED;
	}
	if (block->fresh)
		config.flags |= RS_REGION_FRESH;
	ret = rs_region_add(state, &config, &block->region);
	if (!ret && log)
		ret = rs_region_add_dirty_log(block->region, log, NULL);
	return ret;
}

int memory_register(struct memory *memory, unsigned first_block, struct rs_state *state,
		    const struct rs_dirty_log_ops *log, struct rs_error *error)
{
	for (unsigned i = first_block; i < memory->count; i++) {
		int ret = block_register(&memory->block[i], state, log);

		if (ret) {
			rs_error_get(state, RS_ERROR_OF_CALL, error);
			return fail(error, ret, "region \"%s\": %s", memory->block[i].name,
				    strerror(-ret));
		}
	}
	return 0;
}
