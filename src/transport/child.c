/* SPDX-License-Identifier: MIT */
/*
 * exec: commands. Only the one child is ever waited for, and by asking, not by SIGCHLD: handlers
 * and other children are the embedder's.
 */
#include "transport/child.h"

#include "base/clock.h"
#include "base/error.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_NS (5 * RS_NS_PER_S)
#define PIPE_BYTES (1 << 20)
#define ASK_AGAIN_NS (2 * RS_NS_PER_MS)

/* What a shell says of a child that a signal ended. */
#define SHELL_SIGNALLED 128

/* The child starts as from a shell: nothing blocked, SIGPIPE deadly. Signals that the embedder
 * ignores otherwise stay ignored, as a shell would leave them. */
static int set_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, defaults;
	int code;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	code = posix_spawnattr_setsigmask(attributes, &none);
	if (code == 0)
		code = posix_spawnattr_setsigdefault(attributes, &defaults);
	if (code == 0)
		code = posix_spawnattr_setflags(attributes,
						POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return code;
}

/* Positive errno, as the whole family has it. */
static int spawn(struct rs_child *child, int its_fd)
{
	char *const arguments[] = { (char *)"sh", (char *)"-c", child->command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int code = posix_spawn_file_actions_init(&actions);

	if (code != 0)
		return code;
	code = posix_spawnattr_init(&attributes);
	if (code != 0)
		goto actions;
	/* Of a descriptor onto itself this only takes close-on-exec away, which is wanted. */
	code = posix_spawn_file_actions_adddup2(&actions, its_fd,
						child->we_read ? STDOUT_FILENO : STDIN_FILENO);
	if (code == 0)
		code = set_signals(&attributes);
	if (code == 0)
		code =
		    posix_spawn(&child->pid, "/bin/sh", &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
actions:
	posix_spawn_file_actions_destroy(&actions);
	return code;
}

static void child_free(struct rs_child *child)
{
	free(child->command);
	free(child);
}

static struct rs_child *child_new(const char *command, bool we_read)
{
	struct rs_child *child = calloc(1, sizeof(*child));

	if (child == NULL)
		return NULL;
	child->we_read = we_read;
	child->command = strdup(command);
	if (child->command == NULL) {
		free(child);
		return NULL;
	}
	return child;
}

/* Only our end: the child shall find its own blocking, and the two are different open files. */
static int make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -errno;
}

int rs_child_start(const char *command, bool we_read, struct rs_child **out, int *fd,
		   struct rs_error *error)
{
	struct rs_child *child = child_new(command, we_read);
	int ends[2], ours, its, code;

	if (child == NULL)
		return rs_error_setf(error, -ENOMEM, "cannot run \"%s\": out of memory", command);
	if (pipe2(ends, O_CLOEXEC) != 0) {
		code = -errno;
		goto no_pipe;
	}
	ours = ends[we_read ? 0 : 1];
	its = ends[we_read ? 1 : 0];
	/* Fewer, larger system calls at both ends; a user's limit may forbid it. */
	(void)fcntl(ours, F_SETPIPE_SZ, PIPE_BYTES);
	code = make_nonblocking(ours);
	if (code == 0)
		code = -spawn(child, its);
	close(its);
	if (code == 0) {
		*out = child;
		*fd = ours;
		return 0;
	}
	close(ours);
no_pipe:
	child_free(child);
	return rs_error_setf(error, code, "cannot run \"%s\": %s", command, rs_errno_text(code));
}

/* The pid if it ended, 0 if it runs, a negative errno if it cannot be known. */
static pid_t ask(pid_t pid, int *status, int flags)
{
	pid_t ended;

	do
		ended = waitpid(pid, status, flags);
	while (ended < 0 && errno == EINTR);
	return ended < 0 ? -errno : ended;
}

static pid_t wait_grace(pid_t pid, int *status)
{
	const struct timespec pause = { .tv_nsec = ASK_AGAIN_NS };
	uint64_t deadline = rs_clock_ns() + GRACE_NS;
	pid_t ended = ask(pid, status, WNOHANG);

	while (ended == 0 && rs_clock_ns() < deadline) {
		nanosleep(&pause, NULL);
		ended = ask(pid, status, WNOHANG);
	}
	return ended;
}

/* A command that we stopped reading before it had written everything has not failed. */
static bool ended_by_our_close(const struct rs_child *child, int status)
{
	if (!child->we_read)
		return false;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGPIPE;
	return WEXITSTATUS(status) == SHELL_SIGNALLED + SIGPIPE;
}

static const char *signal_name(int number)
{
	const char *name = sigabbrev_np(number);

	return name != NULL ? name : "unnamed";
}

static int judge(const struct rs_child *child, int status, struct rs_error *error)
{
	if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || ended_by_our_close(child, status))
		return 0;
	if (WIFEXITED(status))
		return rs_error_setf(error, -EIO, "the command \"%s\" failed with exit code %d",
				     child->command, WEXITSTATUS(status));
	return rs_error_setf(error, -EIO, "the command \"%s\" was ended by signal %d (%s)",
			     child->command, WTERMSIG(status), signal_name(WTERMSIG(status)));
}

static int finish(const struct rs_child *child, struct rs_error *error)
{
	int status = 0;
	pid_t ended = wait_grace(child->pid, &status);
	bool killed = ended == 0;

	if (killed) {
		kill(child->pid, SIGKILL);
		ended = ask(child->pid, &status, 0);
	}
	if (ended < 0)
		return rs_error_setf(error, (int)ended,
				     "nobody knows how the command \"%s\" ended: %s",
				     child->command, rs_errno_text((int)ended));
	if (killed && WIFSIGNALED(status))
		return rs_error_setf(error, -EIO,
				     "the command \"%s\" was killed: it had not ended after %llu s",
				     child->command, GRACE_NS / RS_NS_PER_S);
	return judge(child, status, error);
}

int rs_child_finish(struct rs_child *child, struct rs_error *error)
{
	int code = finish(child, error);

	child_free(child);
	return code;
}
