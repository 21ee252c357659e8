/* SPDX-License-Identifier: MIT */
/*
 * An older kernel, for a test: one system call, or one request of ioctl(2), that fails from here on
 * for this process. There is no way back, so it belongs into a child.
 */
#ifndef RS_TESTS_MISSING_CALL_H
#define RS_TESTS_MISSING_CALL_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool missing_call_install(struct sock_filter *filter, unsigned short length)
{
	struct sock_fprog program = { .len = length, .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Low half of an argument of the call, whatever the byte order. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define MISSING_CALL_LOW(index) ((uint32_t)offsetof(struct seccomp_data, args[index]) + 4)
#else
#define MISSING_CALL_LOW(index) ((uint32_t)offsetof(struct seccomp_data, args[index]))
#endif

/* code: the positive errno that the call gives. False where the system allows no filters. */
static inline bool missing_call(long number, unsigned code)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return missing_call_install(filter, sizeof(filter) / sizeof(filter[0]));
}

static inline bool missing_ioctl(unsigned long request, unsigned code)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, MISSING_CALL_LOW(1)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)request, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return missing_call_install(filter, sizeof(filter) / sizeof(filter[0]));
}

/* Run a function in a child. What it returned, 0 to 100; -1 if the child died. */
static inline int in_a_child(int (*function)(void))
{
	int status = 0;

	fflush(NULL);
	pid_t child = fork();

	if (child == 0)
		_exit(function());
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* A child's answer that no test gives by itself: filters are not allowed here. */
#define MISSING_CALL_NOT_POSSIBLE 77

#endif
