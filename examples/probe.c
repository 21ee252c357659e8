/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "fail.h"

#include <errno.h>
#include <ramsync/ramsync.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROBE_BYTES 65536

static int start_and_stop(const struct rs_region_config *config, struct rs_error *error)
{
	const struct rs_dirty_log_ops *log = &rs_dirty_log_userfaultfd;
	struct rs_region *region;
	struct rs_state *state;
	void *cookie;
	int ret;

	ret = rs_state_create(NULL, &state);
	if (ret)
		return fail(error, ret, "%s", strerror(-ret));
	ret = rs_region_add(state, config, &region);
	if (!ret)
		ret = log->start(NULL, region, &cookie, error);
	if (!ret)
		log->stop(NULL, region, cookie);
	rs_state_destroy(state);
	return ret;
}

/* On memory of @fd, or on private memory if @fd is -1. */
static int probe_memory(int fd, struct rs_error *error)
{
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = "probe",
		.used_bytes = PROBE_BYTES,
		.fd = fd,
		.flags = fd < 0 ? 0 : RS_REGION_HAS_FD | RS_REGION_SHARED,
	};
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	int ret;

	config.host = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (config.host == MAP_FAILED)
		return fail(error, -errno, "mmap: %s", strerror(errno));
	ret = start_and_stop(&config, error);
	munmap(config.host, PROBE_BYTES);
	return ret;
}

bool probe_userfaultfd(struct rs_error *error)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);
	int ret;

	if (fd < 0 || ftruncate(fd, PROBE_BYTES))
		ret = fail(error, -errno, "memfd: %s", strerror(errno));
	else
		ret = probe_memory(-1, error);
	if (!ret)
		ret = probe_memory(fd, error);
	if (fd >= 0)
		close(fd);
	return !ret;
}
