/* SPDX-License-Identifier: MIT */
#include "track/userfaultfd.h"

#include "base/error.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	uint64_t bit;
	const char *name;
	const char *since;
} feature_names[] = {
	{ UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "UFFD_FEATURE_WP_HUGETLBFS_SHMEM", "5.19" },
	{ UFFD_FEATURE_WP_UNPOPULATED, "UFFD_FEATURE_WP_UNPOPULATED", "6.4" },
	{ UFFD_FEATURE_WP_ASYNC, "UFFD_FEATURE_WP_ASYNC", "6.7" },
};

static int refuse_features(uint64_t missing, struct rs_error *error)
{
	for (size_t i = 0; i < sizeof(feature_names) / sizeof(feature_names[0]); i++)
		if (missing & feature_names[i].bit)
			return rs_error_setf(error, -EOPNOTSUPP,
					     "this kernel lacks %s, which came with Linux %s",
					     feature_names[i].name, feature_names[i].since);
	return rs_error_setf(error, -EOPNOTSUPP, "this kernel lacks userfaultfd features 0x%llx",
			     (unsigned long long)missing);
}

static int agree_on_features(int userfaultfd, uint64_t features, struct rs_error *error)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (ioctl(userfaultfd, UFFDIO_API, &api) == 0)
		return 0;
	/* A feature that it does not have is refused without saying which: ask what there is. */
	int code = -errno;

	api = (struct uffdio_api){ .api = UFFD_API };
	if (code == -EINVAL && ioctl(userfaultfd, UFFDIO_API, &api) == 0 &&
	    (features & ~(uint64_t)api.features) != 0)
		return refuse_features(features & ~(uint64_t)api.features, error);
	return rs_error_setf(error, code, "userfaultfd cannot be set up: %s", rs_errno_text(code));
}

int rs_userfaultfd_open(uint64_t features, struct rs_error *error)
{
	int userfaultfd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (userfaultfd < 0 && errno == EPERM)
		userfaultfd =
		    (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (userfaultfd < 0) {
		int code = -errno;

		if (code == -ENOSYS)
			return rs_error_setf(error, -EOPNOTSUPP, "this kernel lacks userfaultfd");
		return rs_error_setf(error, code, "userfaultfd cannot be opened: %s",
				     rs_errno_text(code));
	}
	int result = agree_on_features(userfaultfd, features, error);

	if (result < 0) {
		close(userfaultfd);
		return result;
	}
	return userfaultfd;
}

/* Without the restriction to user mode. What the system call refuses, the device may grant. */
static int open_unrestricted(struct rs_error *error)
{
	int userfaultfd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int code = -errno;

	if (userfaultfd >= 0)
		return userfaultfd;
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (device >= 0) {
		userfaultfd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
		if (userfaultfd >= 0)
			return userfaultfd;
	}
	if (code == -ENOSYS)
		return rs_error_setf(error, -EOPNOTSUPP, "this kernel lacks userfaultfd");
	return rs_error_setf(
	    error, code,
	    "no userfaultfd that sees the kernel's own accesses can be opened: %s; "
	    "CAP_SYS_PTRACE, vm.unprivileged_userfaultfd or access to "
	    "/dev/userfaultfd would do",
	    rs_errno_text(code));
}

/* Of the features, those that this kernel has. One that was told is set up, so it is not used on. */
static int ask_features(uint64_t *features, struct rs_error *error)
{
	struct uffdio_api api = { .api = UFFD_API };
	int userfaultfd = open_unrestricted(error);

	if (userfaultfd < 0)
		return userfaultfd;
	int code = ioctl(userfaultfd, UFFDIO_API, &api) == 0 ? 0 : -errno;

	close(userfaultfd);
	if (code < 0)
		return rs_error_setf(error, code, "userfaultfd cannot be set up: %s",
				     rs_errno_text(code));
	*features &= api.features;
	return 0;
}

int rs_userfaultfd_open_for_missing(uint64_t wanted, struct rs_error *error)
{
	int result = ask_features(&wanted, error);

	if (result < 0)
		return result;
	int userfaultfd = open_unrestricted(error);

	if (userfaultfd < 0)
		return userfaultfd;
	result = agree_on_features(userfaultfd, wanted, error);
	if (result < 0) {
		close(userfaultfd);
		return result;
	}
	return userfaultfd;
}

int rs_userfaultfd_register(int userfaultfd, uintptr_t start, uint64_t bytes, uint64_t mode,
			    struct rs_error *error)
{
	uint64_t ioctls;

	return rs_userfaultfd_take(userfaultfd, start, bytes, mode, &ioctls, error);
}

int rs_userfaultfd_take(int userfaultfd, uintptr_t start, uint64_t bytes, uint64_t mode,
			uint64_t *ioctls, struct rs_error *error)
{
	struct uffdio_register request = {
		.range = { .start = start, .len = bytes },
		.mode = mode,
	};

	if (ioctl(userfaultfd, UFFDIO_REGISTER, &request) == 0) {
		*ioctls = request.ioctls;
		return 0;
	}
	int code = -errno;

	switch (code) {
	case -EBUSY:
		return rs_error_setf(error, code, "another userfaultfd owns the memory already");
	case -EPERM:
		return rs_error_setf(error, code,
				     "userfaultfd refuses memory that can never be written");
	case -EINVAL:
		return rs_error_setf(
		    error, code, "userfaultfd refuses memory of this kind, alignment or length");
	default:
		return rs_error_setf(error, code, "userfaultfd cannot take the memory: %s",
				     rs_errno_text(code));
	}
}

void rs_userfaultfd_unregister(int userfaultfd, uintptr_t start, uint64_t bytes)
{
	struct uffdio_range range = { .start = start, .len = bytes };

	ioctl(userfaultfd, UFFDIO_UNREGISTER, &range);
}
