/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a virtual machine monitor, ours or another: writes down when its vCPUs were in the
 * guest, and how long what it asks of KVM's dirty log takes. It stands between the program and the C
 * library's ioctl(), so that what is measured is the same whoever the monitor is.
 *
 * The notes are in the file that DOWNTIME_PROBE names, which the benchmark looks at while the
 * program runs.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOG_ON, LOG_OFF, LOG_GET, LOG_CLEAR, KINDS };

#define CALLS 4096u

struct call {
	uint64_t begin_ns, end_ns;
};

/* downtime_guest.py knows this. Times are CLOCK_MONOTONIC's. */
struct notes {
	_Atomic uint64_t entered_ns; /* the guest, for the first time; 0: not yet */
	_Atomic uint64_t left_ns;    /* the guest, for the last time so far */
	_Atomic uint64_t count[KINDS];
	struct call call[KINDS][CALLS];
};

static struct notes *notes;

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

__attribute__((constructor)) static void open_notes(void)
{
	const char *path = getenv("DOWNTIME_PROBE");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *mapped = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, sizeof(*notes)) == 0)
		mapped = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED) {
		perror("DOWNTIME_PROBE");
		exit(1);
	}
	close(fd);
	notes = mapped;
}

static void note_call(unsigned kind, uint64_t begin_ns)
{
	uint64_t number = atomic_fetch_add(&notes->count[kind], 1);

	if (number < CALLS)
		notes->call[kind][number] = (struct call){ begin_ns, clock_ns() };
}

static int timed(unsigned kind, int fd, unsigned long request, void *argument)
{
	uint64_t begin = clock_ns();
	long result = syscall(SYS_ioctl, fd, request, argument);

	note_call(kind, begin);
	return (int)result;
}

static int run(int fd, void *argument)
{
	uint64_t none = 0;

	if (atomic_load_explicit(&notes->entered_ns, memory_order_relaxed) == 0)
		atomic_compare_exchange_strong(&notes->entered_ns, &none, clock_ns());
	long result = syscall(SYS_ioctl, fd, KVM_RUN, argument);
	uint64_t left = clock_ns(), known = atomic_load(&notes->left_ns);

	/* Of several vCPUs the one that left last. */
	while (known < left && !atomic_compare_exchange_weak(&notes->left_ns, &known, left))
		;
	return (int)result;
}

/* What the C library has: the kernel takes no more than one argument. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list list;

	va_start(list, request);
	void *argument = va_arg(list, void *);

	va_end(list);
	/* Some keep it in an int, which may be negative. */
	switch ((uint32_t)request) {
	case KVM_RUN:
		return run(fd, argument);
	case KVM_SET_USER_MEMORY_REGION: {
		const struct kvm_userspace_memory_region *memory = argument;
		bool logged = (memory->flags & KVM_MEM_LOG_DIRTY_PAGES) != 0;

		return timed(logged ? LOG_ON : LOG_OFF, fd, request, argument);
	}
	case KVM_GET_DIRTY_LOG:
		return timed(LOG_GET, fd, request, argument);
	case KVM_CLEAR_DIRTY_LOG:
		return timed(LOG_CLEAR, fd, request, argument);
	default:
		return (int)syscall(SYS_ioctl, fd, request, argument);
	}
}
