/* SPDX-License-Identifier: MIT */
#include "api/background.h"

#include "base/thread.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* For the end of a migration whose state is destroyed while the guest changes hands. */
#define LAST_WORD_MS 1000

struct rs_background {
	/* immutable */
	int event_fd;

	/* guarded by the state's lock */
	bool started;
	bool joining;
	pthread_t thread;

	/* the thread, until it is joined */
	struct rs_state *state;
	struct rs_opening opening;
	char *address; /* of the opening, or NULL */
	rs_background_work *work;
	int result;
};

int rs_background_init(struct rs_state *state)
{
	struct rs_background *background = calloc(1, sizeof(*background));

	if (background == NULL)
		return -ENOMEM;
	background->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (background->event_fd < 0) {
		int result = -errno;

		free(background);
		return result;
	}
	background->state = state;
	state->background = background;
	return 0;
}

/* Until the thread is done, but not for long. */
static void wait_a_moment(const struct rs_background *background)
{
	struct pollfd ended = { .fd = background->event_fd, .events = POLLIN };

	(void)poll(&ended, 1, LAST_WORD_MS);
}

void rs_background_fini(struct rs_state *state)
{
	if (state->background->started) {
		/* Too late for a cancel it is about to say its last word, which is not to be lost; or
		 * it still waits for its peer's: then it ends in doubt. */
		if (rs_migrate_cancel(state) != 0 &&
		    rs_migrate_status(state) != RS_STATUS_POSTCOPY_PAUSED)
			wait_a_moment(state->background);
		/* Postcopy would go on waiting for a connection. */
		rs_session_give_up(state);
		rs_migrate_wait(state);
	}
	close(state->background->event_fd);
	free(state->background);
}

static void *background_main(void *argument)
{
	struct rs_background *background = argument;

	background->result = background->work(background->state, &background->opening);
	eventfd_write(background->event_fd, 1);
	return NULL;
}

bool rs_background_is_busy(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	bool busy = state->background->started;

	pthread_mutex_unlock(&state->lock);
	return busy;
}

int rs_background_start(struct rs_state *state, const struct rs_opening *opening,
			rs_background_work *work)
{
	struct rs_background *background = state->background;
	char *address = opening->address != NULL ? strdup(opening->address) : NULL;
	int result = -EBUSY;

	if (opening->address != NULL && address == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&state->lock);
	if (!background->started) {
		background->opening = *opening;
		background->opening.address = address;
		background->work = work;
		result = rs_thread_create(&background->thread, background_main, background);
		background->started = result == 0;
		background->address = background->started ? address : NULL;
	}
	pthread_mutex_unlock(&state->lock);
	if (result != 0)
		free(address);
	return result;
}

int rs_migrate_event_fd(const struct rs_state *state)
{
	return state->background->event_fd;
}

int rs_migrate_wait(struct rs_state *state)
{
	struct rs_background *background = state->background;
	eventfd_t count;

	pthread_mutex_lock(&state->lock);
	bool started = background->started, joining = background->joining;
	bool inside = started && pthread_equal(background->thread, pthread_self());

	if (started && !inside)
		background->joining = true;
	pthread_mutex_unlock(&state->lock);
	if (!started)
		return rs_state_refuse(state, -ESRCH, "no migration was started");
	if (inside)
		return rs_state_refuse(state, -EDEADLK, "a migration cannot wait for itself");
	if (joining)
		return rs_state_refuse(state, -EBUSY, "another thread waits for the migration");
	pthread_join(background->thread, NULL);
	free(background->address);
	background->address = NULL;
	eventfd_read(background->event_fd, &count);

	int result = background->result;

	pthread_mutex_lock(&state->lock);
	background->started = false;
	background->joining = false;
	pthread_mutex_unlock(&state->lock);
	return result;
}
