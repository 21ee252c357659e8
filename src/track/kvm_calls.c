/* SPDX-License-Identifier: MIT */
#include "track/kvm_calls.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int done(int result)
{
	return result < 0 ? -errno : 0;
}

static int check(int vm_fd, unsigned capability)
{
	return ioctl(vm_fd, KVM_CHECK_EXTENSION, (unsigned long)capability);
}

static int enable(int vm_fd, unsigned capability, uint64_t argument)
{
	struct kvm_enable_cap request = { .cap = capability, .args = { argument } };

	return done(ioctl(vm_fd, KVM_ENABLE_CAP, &request));
}

static int set_memory(int vm_fd, const struct kvm_userspace_memory_region *memory)
{
	return done(ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, memory));
}

static int get_dirty_log(int vm_fd, uint32_t slot, void *bitmap)
{
	struct kvm_dirty_log request = { .slot = slot, .dirty_bitmap = bitmap };

	return done(ioctl(vm_fd, KVM_GET_DIRTY_LOG, &request));
}

static int clear_dirty_log(int vm_fd, const struct kvm_clear_dirty_log *range)
{
	return done(ioctl(vm_fd, KVM_CLEAR_DIRTY_LOG, range));
}

static int reset_rings(int vm_fd)
{
	return done(ioctl(vm_fd, KVM_RESET_DIRTY_RINGS, 0));
}

#ifdef KVM_DIRTY_LOG_PAGE_OFFSET
static int map_ring(int vcpu_fd, size_t bytes, void **ring)
{
	off_t offset = KVM_DIRTY_LOG_PAGE_OFFSET * (off_t)sysconf(_SC_PAGESIZE);
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, offset);

	if (mapped == MAP_FAILED)
		return -errno;
	*ring = mapped;
	return 0;
}
#else
/* No ring on this kind of machine. */
static int map_ring(int vcpu_fd, size_t bytes, void **ring)
{
	(void)vcpu_fd;
	(void)bytes;
	(void)ring;
	return -EOPNOTSUPP;
}
#endif

static void unmap_ring(void *ring, size_t bytes)
{
	munmap(ring, bytes);
}

const struct rs_kvm_calls rs_kvm_kernel = {
	.check = check,
	.enable = enable,
	.set_memory = set_memory,
	.get_dirty_log = get_dirty_log,
	.clear_dirty_log = clear_dirty_log,
	.reset_rings = reset_rings,
	.map_ring = map_ring,
	.unmap_ring = unmap_ring,
};
