/* SPDX-License-Identifier: MIT */
/* ramsync-recv: receive a guest from ramsync-send or from a file, and run it. */
#include "live/answerer.h"
#include "live/qemu_guest.h"
#include "live/setup.h"

/* The guest is here: take its digest, if wanted, before its writers go on; then let them. */
static void run_guest(struct session *session, struct result *result)
{
	const struct options *options = session->options;
	struct guest *guest = session->guest;
	struct answerer answerer;
	struct rs_error fault;
	bool good;

	answerer_start(&answerer, session);
	if (options->verify) {
		result->has_digest = true;
		result->digest = memory_digest(&guest->memory);
	}
	guest_release(guest);
	good = guest_prove(guest, options->run_on_seconds, session->signal_fd, &fault);
	answerer_stop(&answerer);
	if (good)
		return;
	result->code = EXIT_CORRUPT;
	result->error = fault;
}

static void receive_guest(struct session *session, struct result *result)
{
	int ret = setup_destination(session->guest, session->options, &result->error);

	if (!ret)
		ret = session_open(session, 0, &result->error);
	if (ret) {
		result->code = EXIT_FAILED;
		return;
	}
	session_migrate(session, result);
	session_settle(session, result);
	if (result->code == EXIT_HANDED_OVER && qemu_guest_finish(session->guest, &result->error))
		result->code = EXIT_FAILED;
	if (result->code == EXIT_HANDED_OVER)
		run_guest(session, result);
}

int main(int argc, char **argv)
{
	struct guest guest = { 0 };
	struct options options;
	struct session session;
	struct result result = { .code = EXIT_FAILED };

	options_parse(&options, PROGRAM_RECV, argc, argv);
	guest.program = options.program_name;
	guest.state = options_create_state(&options, options.page_bytes);
	options_set_params(&options, guest.state);
	if (!session_init(&session, &options, &guest, &result.error))
		receive_guest(&session, &result);
	report_result(&options, &guest, &result);
	session_fini(&session);
	qemu_guest_fini(&guest);
	guest_destroy(&guest);
	return (int)result.code;
}
