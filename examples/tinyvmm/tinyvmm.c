/* SPDX-License-Identifier: MIT */
/* tinyvmm: a virtual machine monitor that shows how libramsync is embedded. */
#include "tinyvmm/boot.h"
#include "tinyvmm/control.h"
#include "tinyvmm/migration.h"
#include "tinyvmm/options.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A migration has ended. Is the program at its end with it? */
static bool is_over(struct migration *migration, const struct options *options)
{
	bool here = vm_here(migration->vm);
	enum rs_status status;
	uint64_t count;

	if (read(migration->ended_fd, &count, sizeof(count)) < 0)
		return false;
	pthread_mutex_lock(&migration->lock);
	status = migration->status;
	if (*migration->error.text)
		fprintf(stderr, "tinyvmm: %s: %s\n", rs_status_name(status), migration->error.text);
	pthread_mutex_unlock(&migration->lock);
	if (here || options->stay || status == RS_STATUS_IN_DOUBT)
		return false;
	if (status != RS_STATUS_COMPLETED)
		vm_end(migration->vm, EXIT_FAILED);
	return true;
}

/* Until the guest has gone, has ended by itself, or somebody wants us to quit. */
static void serve(struct vm *vm, struct migration *migration, struct control *control,
		  const struct options *options)
{
	struct pollfd fds[] = {
		{ .fd = vm->end_fd, .events = POLLIN },
		{ .fd = migration->ended_fd, .events = POLLIN },
		{ .fd = control->listen_fd, .events = POLLIN },
	};

	while (!control->quit) {
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents)
			return;
		if (fds[1].revents && is_over(migration, options))
			return;
		if (fds[2].revents)
			control_serve(control);
	}
}

static int begin(struct vm *vm, struct migration *migration, struct control *control,
		 const struct options *options, struct rs_error *error)
{
	int ret = 0;

	if (options->control)
		ret = control_open(control, options->control, error);
	if (!ret && options->incoming)
		return migration_start(migration, DIRECTION_IN, options->incoming, error);
	if (!ret)
		ret = boot(vm, error);
	if (!ret)
		vm_settle(vm, true);
	return ret;
}

static int run(const struct options *options)
{
	struct rs_error error = { 0 };
	struct migration migration;
	struct control control = { .vm = NULL, .migration = &migration, .listen_fd = -1 };
	struct vm vm;
	int ret = vm_create(&vm, &options->vm, &error);

	if (migration_init(&migration, &vm, options->digest))
		ret = -1;
	control.vm = &vm;
	if (!ret)
		ret = begin(&vm, &migration, &control, options, &error);
	if (!ret) {
		serve(&vm, &migration, &control, options);
	} else {
		fprintf(stderr, "tinyvmm: %s\n", error.text);
		vm_end(&vm, EXIT_FAILED);
	}
	control_close(&control);
	migration_fini(&migration);
	vm_destroy(&vm);
	return vm.exit_code;
}

int main(int argc, char **argv)
{
	struct options options;

	if (argc >= 4 && !strcmp(argv[1], "control"))
		return control_call(argv[2], argc - 3, argv + 3);
	if (argc < 2 || strcmp(argv[1], "run") != 0)
		options_usage(argc == 2 && !strcmp(argv[1], "--help") ? EXIT_DONE : EXIT_BAD_USAGE);
	options_parse(&options, argc - 1, argv + 1);
	return run(&options);
}
