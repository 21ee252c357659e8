/* SPDX-License-Identifier: MIT */
/* tinyvmm: a virtual machine monitor that shows how libramsync is embedded. */
#include "tinyvmm/boot.h"
#include "tinyvmm/control.h"
#include "tinyvmm/migration.h"
#include "tinyvmm/options.h"
#include "tinyvmm/postcopy.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Has the guest gone for good, or not come? */
static bool is_over(const struct migration *migration)
{
	enum rs_status status = rs_migrate_status(migration->vm->state);

	if (migration->running || status == RS_STATUS_IN_DOUBT ||
	    vm_guest(migration->vm) != GUEST_NONE)
		return false;
	if (status != RS_STATUS_COMPLETED)
		vm_end(migration->vm, EXIT_FAILED);
	return true;
}

/* Until the guest has gone, has ended by itself, or somebody wants us to quit. */
static void serve(struct control *control, bool stay)
{
	struct migration *migration = control->migration;
	struct pollfd fds[] = {
		{ .fd = control->vm->end_fd, .events = POLLIN },
		{ .fd = rs_migrate_event_fd(control->vm->state), .events = POLLIN },
		{ .fd = control->listen_fd, .events = POLLIN },
	};

	while (!control->quit && (stay || !is_over(migration))) {
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents)
			return;
		migration_look(migration);
		if (fds[2].revents)
			control_serve(control);
	}
}

static int begin(struct control *control, const struct options *options, struct rs_error *error)
{
	int ret = postcopy_set_params(control->migration, options, error);

	if (!ret && options->control)
		ret = control_open(control, options->control, error);
	if (!ret && options->incoming)
		return migration_start_in(control->migration, options->incoming, error);
	if (!ret)
		ret = boot(control->vm, error);
	if (!ret)
		vm_settle(control->vm, true);
	return ret;
}

static int run(const struct options *options)
{
	struct rs_error error = { 0 };
	struct vm vm;
	struct migration migration = { .vm = &vm, .take_digest = options->digest };
	struct control control = { .vm = &vm, .migration = &migration, .listen_fd = -1 };
	int ret = vm_create(&vm, &options->vm, &error);

	if (!ret)
		ret = begin(&control, options, &error);
	if (!ret) {
		serve(&control, options->stay);
	} else {
		fprintf(stderr, "tinyvmm: %s\n", error.text);
		vm_end(&vm, EXIT_FAILED);
	}
	control_close(&control);
	vm_destroy(&vm);
	return vm.exit_code;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	static char name[] = "tinyvmm run";
	struct options options;

	if (argc >= 4 && !strcmp(command, "control"))
		return control_call(argv[2], argc - 3, argv + 3);
	if (strcmp(command, "run") != 0 && strcmp(command, "--help") != 0) {
		fprintf(stderr, "usage: tinyvmm run [OPTION...]\n"
				"       tinyvmm control PATH COMMAND [ARGUMENT...]\n"
				"       tinyvmm --help\n");
		return EXIT_BAD_USAGE;
	}
	if (!strcmp(command, "run")) {
		argv++;
		argc--;
	}
	argv[0] = name;
	options_parse(&options, argc, argv);
	return run(&options);
}
