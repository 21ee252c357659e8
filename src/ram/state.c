/* SPDX-License-Identifier: MIT */
#include "ram/state.h"

#include "base/checked.h"

#include <string.h>
#include <sys/eventfd.h>

int rs_state_init(struct rs_state *state, uint32_t page_bytes)
{
	memset(state, 0, sizeof(*state));
	state->page_bytes = page_bytes;
	state->page_shift = rs_log2(page_bytes);
	state->session.wake_fd = -1;
	state->userfaultfd = -1;
	rs_params_init(&state->params, page_bytes);
	if (pthread_mutex_init(&state->lock, NULL) != 0)
		return -ENOMEM;
	if (pthread_cond_init(&state->unpinned, NULL) != 0) {
		pthread_mutex_destroy(&state->lock);
		return -ENOMEM;
	}
	return 0;
}

void rs_state_fini(struct rs_state *state)
{
	pthread_cond_destroy(&state->unpinned);
	pthread_mutex_destroy(&state->lock);
}

int rs_state_refuse(struct rs_state *state, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&state->lock);
	state->call_error.code = 0;
	rs_error_setv(&state->call_error, code, format, arguments);
	pthread_mutex_unlock(&state->lock);
	va_end(arguments);
	return code;
}

static void open_session(struct rs_state *state, bool heed_regions)
{
	pthread_mutex_lock(&state->lock);
	state->session.open = heed_regions;
	state->session.final = false;
	state->session.lent = false;
	state->session.error = (struct rs_error){ 0 };
	atomic_store_explicit(&state->session.code, 0, memory_order_release);
	pthread_mutex_unlock(&state->lock);
}

void rs_session_open(struct rs_state *state)
{
	open_session(state, true);
}

void rs_session_open_unheeding(struct rs_state *state)
{
	open_session(state, false);
}

void rs_session_close(struct rs_state *state)
{
	rs_session_ignore_regions(state);
	state->session.warn = NULL;
}

void rs_session_ignore_regions(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	state->session.open = false;
	pthread_mutex_unlock(&state->lock);
}

void rs_session_heed_regions(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	state->session.open = true;
	pthread_mutex_unlock(&state->lock);
}

static int attach(struct rs_state *state, struct rs_stream *stream, int wake_fd)
{
	pthread_mutex_lock(&state->lock);
	int code = rs_session_code(state);

	if (code == 0) {
		state->session.attached = true;
		state->session.thread = pthread_self();
		if (!state->session.lent)
			state->session.vm_thread = pthread_self();
		state->session.stream = stream;
		state->session.wake_fd = wake_fd;
	}
	pthread_mutex_unlock(&state->lock);
	return code;
}

int rs_session_attach(struct rs_state *state, struct rs_stream *stream)
{
	return attach(state, stream, -1);
}

int rs_session_attach_wait(struct rs_state *state, int wake_fd)
{
	return attach(state, NULL, wake_fd);
}

void rs_session_detach(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	state->session.attached = false;
	state->session.limited = false;
	state->session.stream = NULL;
	state->session.wake_fd = -1;
	pthread_mutex_unlock(&state->lock);
}

int rs_session_use_stream(struct rs_state *state, struct rs_stream *stream)
{
	pthread_mutex_lock(&state->lock);
	if (state->session.attached)
		state->session.stream = stream;
	int code = rs_session_code(state);

	pthread_mutex_unlock(&state->lock);
	return code;
}

void rs_session_lend(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	state->session.thread = pthread_self();
	state->session.lent = true;
	pthread_mutex_unlock(&state->lock);
}

bool rs_session_pause(struct rs_state *state, struct rs_error *why)
{
	struct rs_session *session = &state->session;

	rs_session_detach(state);
	pthread_mutex_lock(&state->lock);
	bool goes_on = !session->final;

	*why = session->error;
	if (goes_on) {
		session->error = (struct rs_error){ 0 };
		atomic_store_explicit(&session->code, 0, memory_order_release);
	}
	pthread_mutex_unlock(&state->lock);
	return goes_on;
}

bool rs_session_is_mine_locked(const struct rs_state *state)
{
	const struct rs_session *session = &state->session;

	return session->attached && (pthread_equal(session->thread, pthread_self()) ||
				     pthread_equal(session->vm_thread, pthread_self()));
}

int rs_session_failv_locked(struct rs_state *state, int code, const char *format, va_list arguments)
{
	struct rs_session *session = &state->session;

	/* That code is the hand-over's own; a callback may return it by chance. */
	if (code == RS_ERROR_IN_DOUBT)
		code = -EIO;
	/* Of the guest, not of the connection. */
	if (session->lent && pthread_equal(session->vm_thread, pthread_self()))
		session->final = true;
	if (session->error.code == 0) {
		rs_error_setv(&session->error, code, format, arguments);
		atomic_store_explicit(&session->code, code, memory_order_release);
	}
	/* A call that fails by itself needs no waking, and may have to tell its peer why. */
	if (session->attached && !rs_session_is_mine_locked(state))
		rs_session_wake_locked(state);
	return session->error.code;
}

void rs_session_wake_locked(struct rs_state *state)
{
	if (state->session.stream != NULL)
		rs_stream_shutdown(state->session.stream);
	if (state->session.wake_fd >= 0)
		eventfd_write(state->session.wake_fd, 1);
}

int rs_session_end_locked(struct rs_state *state, int code, const char *format, ...)
{
	va_list arguments;

	state->session.final = true;
	va_start(arguments, format);
	code = rs_session_failv_locked(state, code, format, arguments);
	va_end(arguments);
	return code;
}

void rs_session_break_locked(struct rs_state *state, int code, const char *why)
{
	struct rs_session *session = &state->session;

	if (session->error.code == 0) {
		rs_error_setf(&session->error, code, "%s", why);
		atomic_store_explicit(&session->code, code, memory_order_release);
	}
	rs_session_wake_locked(state);
}

int rs_session_fail(struct rs_state *state, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&state->lock);
	code = rs_session_failv_locked(state, code, format, arguments);
	pthread_mutex_unlock(&state->lock);
	va_end(arguments);
	return code;
}

int rs_session_explain(struct rs_state *state, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&state->lock);
	state->session.error.code = 0;
	code = rs_session_failv_locked(state, code, format, arguments);
	pthread_mutex_unlock(&state->lock);
	va_end(arguments);
	return code;
}

int rs_session_fail_with(struct rs_state *state, const struct rs_error *error)
{
	return rs_session_fail(state, error->code, "%s", error->text);
}

int rs_session_check_stream(struct rs_state *state, struct rs_stream *stream)
{
	struct rs_error error;

	/* Without the text, most of the time: records are checked one by one. */
	if (rs_stream_error(stream, NULL) == 0)
		return 0;
	rs_stream_error(stream, &error);
	return rs_session_fail_with(state, &error);
}

void rs_session_warn(struct rs_state *state, const char *format, ...)
{
	struct rs_session *session = &state->session;
	struct rs_error warning = { 0 };
	va_list arguments;

	if (session->warn == NULL)
		return;
	va_start(arguments, format);
	rs_error_setv(&warning, -1, format, arguments);
	va_end(arguments);
	session->warn(session->warn_opaque, warning.text);
}

void rs_session_give_up(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	state->session.final = true;
	rs_session_wake_locked(state);
	pthread_mutex_unlock(&state->lock);
}

void rs_session_set_wake_fd(struct rs_state *state, int wake_fd)
{
	pthread_mutex_lock(&state->lock);
	state->session.wake_fd = wake_fd;
	pthread_mutex_unlock(&state->lock);
}
