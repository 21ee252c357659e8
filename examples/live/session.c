/* SPDX-License-Identifier: MIT */
#include "live/session.h"
#include "text/fail.h"
#include "live/postcopy.h"
#include "live/qemu_guest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 100u
#define RECONNECT_MS 10000u
#define TELL_MS 2000u
#define PROGRESS_MS 500

static double seconds_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds_now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

int session_init(struct session *session, const struct options *options, struct guest *guest,
		 struct rs_error *error)
{
	sigset_t set;

	*session = (struct session){
		.options = options, .guest = guest, .address = options->address, .pause_fd = -1
	};
	pthread_mutex_init(&session->lock, NULL);
	guest->link = &postcopy_link;
	guest->link_opaque = session;
	end_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	session->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (session->signal_fd < 0)
		return fail(error, -errno, "signalfd: %s", strerror(errno));
	session->pause_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return session->pause_fd < 0 ? fail(error, -errno, "eventfd: %s", strerror(errno)) : 0;
}

bool session_can_reconnect(const struct session *session)
{
	const char *address = session->options->address;

	return !strncmp(address, "tcp:", 4) || !strncmp(address, "unix:", 5);
}

static int open_out(struct session *session, unsigned timeout_ms, struct rs_error *error)
{
	const char *address = session->options->address;
	double end = seconds_now() + timeout_ms / 1e3;

	for (;;) {
		int ret;

		*error = (struct rs_error){ 0 };
		ret = rs_stream_connect(address, timeout_ms, &session->stream, error);
		/* The receiver may not listen yet, or not have made its socket. */
		if ((ret != -ECONNREFUSED && ret != -ENOENT) || !session_can_reconnect(session) ||
		    seconds_now() > end)
			return ret;
		poll(NULL, 0, RETRY_MS);
	}
}

static int open_in(struct session *session, unsigned timeout_ms, struct rs_error *error)
{
	int ret = 0;

	if (!session->listener) {
		ret = rs_stream_listen(session->options->address, &session->listener, error);
		if (!ret)
			fprintf(stderr, "%s: listening on %s\n", session->options->program_name,
				rs_listener_address(session->listener));
	}
	if (!ret)
		ret = rs_listener_accept(session->listener, timeout_ms, &session->stream, error);
	return ret;
}

int session_open(struct session *session, unsigned timeout_ms, struct rs_error *error)
{
	sigset_t set;
	int ret;

	end_signals(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	if (session->options->program == PROGRAM_SEND)
		ret = open_out(session, timeout_ms, error);
	else
		ret = open_in(session, timeout_ms, error);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return ret ? fail(error, ret, "%s: %s", session->options->address, strerror(-ret)) : 0;
}

int session_close(struct session *session, struct rs_error *error)
{
	int ret = rs_stream_close(session->stream, error);

	session->stream = NULL;
	return ret;
}

/* A signal came: end the migration, if it is not too late. */
static void take_signal(struct session *session)
{
	const char *program = session->options->program_name;
	struct signalfd_siginfo info;
	int ret;

	if (read(session->signal_fd, &info, sizeof(info)) < 0 || postcopy_give_up(session))
		return;
	ret = rs_migrate_cancel(session->guest->state);
	if (ret == -EALREADY)
		fprintf(stderr, "%s: too late to cancel: the guest was handed over\n", program);
}

static int watch(struct session *session)
{
	struct rs_state *state = session->guest->state;
	struct pollfd fds[] = {
		{ .fd = rs_migrate_event_fd(state), .events = POLLIN },
		{ .fd = session->signal_fd, .events = POLLIN },
		{ .fd = session->pause_fd, .events = POLLIN },
	};

	while (!(fds[0].revents & POLLIN)) {
		int ready = poll(fds, 3, session->broken ? 0 : PROGRESS_MS);

		if (ready > 0 && fds[1].revents & POLLIN)
			take_signal(session);
		else if (ready > 0 && fds[2].revents & POLLIN)
			postcopy_take_pause(session);
		else if (session->broken)
			postcopy_mend(session);
		else if (ready == 0)
			report_progress(session->options, state, false);
	}
	report_progress(session->options, state, true);
	return rs_migrate_wait(state);
}

static enum exit_code code_of(int ret)
{
	switch (ret) {
	case 0:
		return EXIT_HANDED_OVER;
	case -ECANCELED:
		return EXIT_CANCELLED;
	case RS_ERROR_IN_DOUBT:
		return EXIT_IN_DOUBT;
	default:
		return EXIT_FAILED;
	}
}

static void get_error(const struct guest *guest, enum rs_error_source source, int ret,
		      struct rs_error *error)
{
	rs_error_get(guest->state, source, error);
	fail(error, ret, "%s", strerror(-ret));
}

/* The first sentence was told when it happened. */
static void fail_lost(const struct session *session, struct rs_error *error)
{
	*error = (struct rs_error){ 0 };
	fail(error, -ENOTCONN,
	     "the connection broke in postcopy: %s; each end had a part of the guest%s",
	     session->told,
	     session->options->recover ? ""
				       : " (--recover ADDRESS goes on over another connection)");
}

void session_migrate(struct session *session, struct result *result)
{
	struct guest *guest = session->guest;
	bool send = session->options->program == PROGRAM_SEND;
	enum rs_error_source source = RS_ERROR_OF_CALL;
	const struct rs_vm_ops *vm_ops = guest->qemu ? &qemu_guest_vm_ops : &guest_vm_ops;
	double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	int ret;

	result->began = seconds_now();
	if (send)
		ret = rs_migrate_start_out(guest->state, session->stream, vm_ops, guest);
	else
		ret = rs_migrate_start_in(guest->state, session->stream, vm_ops, guest);
	if (!ret) {
		source = RS_ERROR_OF_MIGRATION;
		ret = watch(session);
	}
	result->code = session->lost ? EXIT_PAUSED : code_of(ret);
	result->ended = seconds_now();
	result->cpu_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	if (session->lost)
		fail_lost(session, &result->error);
	else if (ret)
		get_error(guest, source, ret, &result->error);
}

static int reconnect(struct session *session, unsigned timeout_ms, struct rs_error *error)
{
	struct rs_state *state = session->guest->state;
	int ret;

	session_close(session, NULL);
	ret = session_open(session, timeout_ms, error);
	if (ret)
		return ret;
	if (session->options->program == PROGRAM_SEND)
		ret = rs_migrate_reconnect_out(state, session->stream);
	else
		ret = rs_migrate_reconnect_in(state, session->stream);
	if (ret)
		get_error(session->guest, RS_ERROR_OF_CALL, ret, error);
	return ret;
}

/* In doubt: as told, or as the other end says. Returns 0 once it is settled. */
static int settle(struct session *session, struct rs_error *error)
{
	struct rs_state *state = session->guest->state;

	switch (session->options->on_doubt) {
	case ON_DOUBT_RUN:
		return rs_migrate_resolve(state, RS_RESOLVE_RUN);
	case ON_DOUBT_DISCARD:
		return rs_migrate_resolve(state, RS_RESOLVE_DISCARD);
	case ON_DOUBT_RECONNECT:
		if (!session_can_reconnect(session))
			return fail(error, -EOPNOTSUPP, "%s cannot be opened again",
				    session->options->address);
		return reconnect(session, RECONNECT_MS, error);
	default:
		return RS_ERROR_IN_DOUBT;
	}
}

/*
 * The sender failed with the guest stopped, perhaps after the receiver had said that it was ready.
 * Then that one is in doubt, and this one knows the answer. If nobody listens nobody asks.
 */
static bool tell_receiver(struct session *session, const struct result *result)
{
	const struct options *options = session->options;
	struct rs_error error = { 0 };

	if (options->program != PROGRAM_SEND || !session->guest->was_stopped ||
	    options->on_doubt != ON_DOUBT_RECONNECT || !session_can_reconnect(session) ||
	    (result->code != EXIT_FAILED && result->code != EXIT_CANCELLED))
		return false;
	if (!reconnect(session, TELL_MS, &error))
		fprintf(stderr, "%s: the receiver knows that the guest stayed here\n",
			options->program_name);
	return true;
}

void session_settle(struct session *session, struct result *result)
{
	struct rs_state *state = session->guest->state;
	struct rs_error error = { 0 };

	if (tell_receiver(session, result) || result->code != EXIT_IN_DOUBT)
		return;
	fprintf(stderr, "%s: in doubt: %s\n", session->options->program_name, result->error.text);
	if (settle(session, &error)) {
		size_t length = strlen(result->error.text);

		snprintf(
		    result->error.text + length, sizeof(result->error.text) - length,
		    "%s%s; the guest is complete and stopped here: find out whether it runs at "
		    "the other end, and settle that end with --on-doubt run or discard",
		    *error.text ? "; " : "", error.text);
		return;
	}
	if (rs_migrate_status(state) == RS_STATUS_COMPLETED) {
		result->code = EXIT_HANDED_OVER;
		result->error = (struct rs_error){ 0 };
	} else {
		result->code = EXIT_FAILED;
	}
	fprintf(stderr, "%s: settled: %s\n", session->options->program_name,
		rs_status_name(rs_migrate_status(state)));
}

void session_fini(struct session *session)
{
	session_close(session, NULL);
	rs_listener_close(session->listener);
	if (session->signal_fd >= 0)
		close(session->signal_fd);
	if (session->pause_fd >= 0)
		close(session->pause_fd);
	pthread_mutex_destroy(&session->lock);
}
