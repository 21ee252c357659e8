/* SPDX-License-Identifier: MIT */
/* ramsync-send: make a guest stand-in and migrate it to somewhere else. */
#include "live/session.h"
#include "live/setup.h"

#include <stdio.h>

#define CONNECT_MS 10000u
/* How long a guest that stayed here runs on, to see that nothing happened to it. */
#define PROVE_SECONDS 0.5

static void keep_digest(struct result *result, const struct memory *memory)
{
	result->has_digest = true;
	result->digest = memory_digest(memory);
}

/* The guest is here again, after whatever failed: its writers must not have noticed. */
static void prove_here(struct session *session, struct result *result)
{
	struct guest *guest = session->guest;
	struct rs_error fault;

	if (!guest_prove(guest, PROVE_SECONDS, session->signal_fd, &fault)) {
		result->code = EXIT_CORRUPT;
		result->error = fault;
	} else {
		fprintf(stderr, "%s: the guest ran on here%s\n", guest->program,
			guest->writers ? ", all pages of its working set are good" : "");
	}
}

/*
 * A command that was given everything and failed at the end leaves us in doubt, of a kind that the
 * library cannot know: nothing comes back from a command but its exit code.
 */
static void close_stream(struct session *session, struct result *result)
{
	enum on_doubt on_doubt = session->options->on_doubt;
	struct rs_error error = { 0 };

	if (!session_close(session, &error) || result->code != EXIT_HANDED_OVER)
		return;
	fprintf(stderr, "%s: in doubt: %s\n", session->options->program_name, error.text);
	if (on_doubt == ON_DOUBT_DISCARD)
		return;
	result->error = error;
	result->code = on_doubt == ON_DOUBT_RUN ? EXIT_FAILED : EXIT_IN_DOUBT;
	if (on_doubt == ON_DOUBT_RUN)
		guest_vm_ops.resume(session->guest, RS_RESUME_STAYED);
}

static void conclude(struct session *session, struct result *result)
{
	struct guest *guest = session->guest;
	struct rs_error fault;

	session_settle(session, result);
	close_stream(session, result);
	if (guest->running) {
		prove_here(session, result);
	} else if (guest->writers && writers_fault(guest->writers, &fault)) {
		result->code = EXIT_CORRUPT;
		result->error = fault;
	} else if (session->options->verify && result->code == EXIT_HANDED_OVER) {
		keep_digest(result, &guest->memory);
	}
}

static void send_guest(struct session *session, struct result *result)
{
	int ret = setup_source(session->guest, session->options, &result->error);

	if (!ret)
		ret = session_open(session, CONNECT_MS, &result->error);
	if (ret) {
		result->code = EXIT_FAILED;
		return;
	}
	session_migrate(session, result);
	conclude(session, result);
}

int main(int argc, char **argv)
{
	struct guest guest = { 0 };
	struct options options;
	struct session session;
	struct result result = { .code = EXIT_FAILED };

	options_parse(&options, PROGRAM_SEND, argc, argv);
	guest.program = options.program_name;
	guest.state = options_create_state(&options, options.page_bytes);
	options_set_params(&options, guest.state);
	if (!session_init(&session, &options, &guest, &result.error))
		send_guest(&session, &result);
	report_result(&options, &guest, &result);
	session_fini(&session);
	guest_destroy(&guest);
	return (int)result.code;
}
