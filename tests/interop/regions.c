/* SPDX-License-Identifier: MIT */
#include "interop/regions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *map_file(const struct regions *regions, uint64_t bytes, int *fd)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/region-%d", regions->directory, regions->count);
	*fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (*fd < 0 || ftruncate(*fd, (off_t)bytes) != 0)
		return NULL;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

static int add(struct regions *regions, const char *name, uint64_t bytes, uint32_t flags)
{
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.used_bytes = bytes,
		.guest_address = regions->ignored_address,
		.flags = RS_REGION_HAS_FD | RS_REGION_SHARED | flags,
	};

	if (regions->count == REGIONS_MAX)
		return -ENOSPC;
	config.host = map_file(regions, bytes, &config.fd);
	if (config.host == NULL)
		return -errno;
	if (regions->rubbish)
		memset(config.host, 0xee, bytes);
	else
		config.flags |= RS_REGION_FRESH;
	int result = rs_region_add(regions->state, &config, &regions->list[regions->count]);

	regions->count += result == 0;
	return result;
}

int regions_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	return add(opaque, name, used_bytes, 0);
}

int regions_add_ignored(struct regions *regions, uint64_t bytes)
{
	return add(regions, regions->ignored, bytes, RS_REGION_IGNORED);
}

void regions_print(const struct regions *regions)
{
	printf("\"regions\": [");
	for (int i = 0; i < regions->count; i++)
		printf("%s{\"name\": \"%s\", \"file\": \"%s/region-%d\", \"bytes\": %llu}",
		       i > 0 ? ", " : "", rs_region_name(regions->list[i]), regions->directory, i,
		       (unsigned long long)rs_region_used_bytes(regions->list[i]));
	printf("]");
}
