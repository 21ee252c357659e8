/* SPDX-License-Identifier: MIT */
#include "tinyvmm/control.h"
#include "tinyvmm/postcopy.h"
#include "text/fail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_BYTES 1024u
#define PATIENCE_S 5

struct request {
	struct control *control;
	char **argument;
	FILE *answer;
	struct rs_error *error;
};

struct command {
	const char *name;
	unsigned arguments;
	int (*run)(const struct request *request);
};

static int run_migrate(const struct request *request)
{
	return migration_start_out(request->control->migration, request->argument[0],
				   request->error);
}

static int run_incoming(const struct request *request)
{
	return migration_start_in(request->control->migration, request->argument[0],
				  request->error);
}

static int run_cancel(const struct request *request)
{
	struct rs_state *state = request->control->vm->state;

	return fail_call(state, rs_migrate_cancel(state), request->error);
}

static int run_postcopy(const struct request *request)
{
	struct rs_state *state = request->control->vm->state;

	return fail_call(state, rs_migrate_start_postcopy(state), request->error);
}

static int run_pause(const struct request *request)
{
	struct rs_state *state = request->control->vm->state;

	return fail_call(state, rs_migrate_pause(state), request->error);
}

static int run_recover(const struct request *request)
{
	return postcopy_recover(request->control->migration, request->argument[0], request->error);
}

static int run_set(const struct request *request)
{
	struct rs_state *state = request->control->vm->state;
	int ret = rs_param_set(state, request->argument[0], request->argument[1]);

	return fail_call(state, ret, request->error);
}

static int run_resolve(const struct request *request)
{
	const char *word = request->argument[0];

	if (!strcmp(word, "run"))
		return migration_resolve(request->control->migration, RS_RESOLVE_RUN,
					 request->error);
	if (!strcmp(word, "discard"))
		return migration_resolve(request->control->migration, RS_RESOLVE_DISCARD,
					 request->error);
	return fail(request->error, -EINVAL, "resolve run, or resolve discard");
}

static int set_stopped(const struct request *request, bool stopped)
{
	struct migration *migration = request->control->migration;

	migration_look(migration);
	/* As long as memory comes, a vCPU may wait for what only a command brings. */
	if (vm_set_stopped(migration->vm, stopped, !migration->running || migration->outgoing))
		return fail(request->error, -ENOENT, "there is no guest here");
	return 0;
}

static int run_stop(const struct request *request)
{
	return set_stopped(request, true);
}

static int run_cont(const struct request *request)
{
	return set_stopped(request, false);
}

static int run_digest(const struct request *request)
{
	struct migration *migration = request->control->migration;

	migration_look(migration);
	if (vm_guest(migration->vm) != GUEST_STOPPED)
		return fail(request->error, -EBUSY, "stop the guest first");
	if (migration->running && !migration->outgoing)
		return fail(request->error, -EBUSY, "its memory is still on its way");
	fprintf(request->answer, "digest: %016" PRIx64 "\n", vm_digest(request->control->vm));
	return 0;
}

static int run_quit(const struct request *request)
{
	request->control->quit = true;
	return 0;
}

static const char *const guest_words[] = {
	[GUEST_NONE] = "none", [GUEST_STOPPED] = "stopped", [GUEST_STOPPING] = "stopping",
	[GUEST_HELD] = "held", [GUEST_RUNNING] = "running",
};

static void print_statistics(const struct rs_state *state, FILE *answer)
{
	struct rs_stats stats = { .size = sizeof(stats) };
	const struct rs_stat_info *info = NULL;

	rs_stats_get(state, &stats);
	while ((info = rs_stat_next(info))) {
		const char *field = (const char *)&stats + info->offset;
		uint64_t value;
		double real;

		memcpy(&value, field, sizeof(value));
		memcpy(&real, field, sizeof(real));
		if (info->is_double)
			fprintf(answer, "%s: %.3f\n", info->name, real);
		else
			fprintf(answer, "%s: %" PRIu64 "\n", info->name, value);
	}
}

static int run_status(const struct request *request)
{
	struct migration *migration = request->control->migration;
	struct rs_state *state = request->control->vm->state;
	enum rs_status status = migration_look(migration);
	struct rs_error reason;

	rs_error_get(state, RS_ERROR_OF_MIGRATION, &reason);
	fprintf(request->answer, "guest: %s\n", guest_words[vm_guest(request->control->vm)]);
	fprintf(request->answer, "migration: %s\n", rs_status_name(status));
	fprintf(request->answer, "paused: %s\n", migration->paused ? "yes" : "no");
	fprintf(request->answer, "address: %s\n", migration->address);
	fprintf(request->answer, "reason: %s\n", reason.text);
	fprintf(request->answer, "digest: %016" PRIx64 "\n", migration->digest);
	postcopy_print(request->control->vm, request->answer);
	print_statistics(state, request->answer);
	return 0;
}

static const struct command commands[] = {
	{ "migrate", 1, run_migrate }, { "incoming", 1, run_incoming },
	{ "cancel", 0, run_cancel },   { "resolve", 1, run_resolve },
	{ "status", 0, run_status },   { "set", 2, run_set },
	{ "stop", 0, run_stop },       { "cont", 0, run_cont },
	{ "digest", 0, run_digest },   { "postcopy", 0, run_postcopy },
	{ "pause", 0, run_pause },     { "recover", 1, run_recover },
	{ "quit", 0, run_quit },
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))
#define WORDS_MAX 4u

static int run_line(struct control *control, char *line, FILE *answer, struct rs_error *error)
{
	struct request request = {
		.control = control,
		.answer = answer,
		.error = error,
	};
	char *word[WORDS_MAX] = { NULL };
	unsigned words = 0;
	char *rest = line;

	while (words < WORDS_MAX && (word[words] = strtok_r(rest, " \n", &rest)))
		words++;
	for (size_t i = 0; words && i < COMMANDS; i++) {
		const struct command *command = &commands[i];

		if (strcmp(word[0], command->name) != 0)
			continue;
		if (words - 1 != command->arguments)
			return fail(error, -EINVAL, "%s takes %u arguments", command->name,
				    command->arguments);
		request.argument = word + 1;
		return command->run(&request);
	}
	return fail(error, -EINVAL, "no such command");
}

static void answer_line(struct control *control, char *line, int fd)
{
	struct rs_error error = { 0 };
	char *text = NULL;
	size_t bytes = 0;
	FILE *answer = open_memstream(&text, &bytes);
	int ret;

	if (!answer)
		return;
	ret = run_line(control, line, answer, &error);
	if (ret)
		fprintf(answer, "error: %s\n", *error.text ? error.text : strerror(-ret));
	else
		fprintf(answer, "ok\n");
	fclose(answer);
	/* A client that does not wait for its answer does without it. */
	if (send(fd, text, bytes, MSG_NOSIGNAL) < 0)
		perror("tinyvmm: control socket");
	free(text);
}

void control_serve(struct control *control)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	char line[LINE_BYTES];
	FILE *client;
	int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	client = fdopen(fd, "r");
	if (!client) {
		close(fd);
		return;
	}
	if (fgets(line, sizeof(line), client))
		answer_line(control, line, fd);
	fclose(client);
}

static int unix_address(const char *path, struct sockaddr_un *address, struct rs_error *error)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return fail(error, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
	return 0;
}

int control_open(struct control *control, const char *path, struct rs_error *error)
{
	struct sockaddr_un address;
	int ret = unix_address(path, &address, error);

	if (ret)
		return ret;
	control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listen_fd < 0)
		return fail(error, -errno, "socket: %s", strerror(errno));
	unlink(path);
	if (bind(control->listen_fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(control->listen_fd, 4))
		return fail(error, -errno, "%s: %s", path, strerror(errno));
	control->path = path;
	return 0;
}

void control_close(struct control *control)
{
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->path)
		unlink(control->path);
}

/* Prints the answer. Returns whether it ended well. */
static bool print_answer(FILE *server)
{
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), server)) {
		if (!strcmp(line, "ok\n"))
			return true;
		if (!strncmp(line, "error: ", 7)) {
			fprintf(stderr, "tinyvmm: %s", line + 7);
			return false;
		}
		fputs(line, stdout);
	}
	fprintf(stderr, "tinyvmm: no answer\n");
	return false;
}

static int connect_control(const char *path, struct rs_error *error)
{
	struct sockaddr_un address;
	int fd, ret = unix_address(path, &address, error);

	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(error, -errno, "socket: %s", strerror(errno));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = fail(error, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	return ret;
}

int control_call(const char *path, int words, char **word)
{
	struct rs_error error = { 0 };
	FILE *server;
	bool good;
	int fd = connect_control(path, &error);

	if (fd < 0) {
		fprintf(stderr, "tinyvmm: %s\n", error.text);
		return EXIT_FAILED;
	}
	for (int i = 0; i < words; i++)
		dprintf(fd, "%s%s", i ? " " : "", word[i]);
	dprintf(fd, "\n");
	server = fdopen(fd, "r");
	if (!server) {
		close(fd);
		return EXIT_FAILED;
	}
	good = print_answer(server);
	fclose(server);
	return good ? EXIT_DONE : EXIT_FAILED;
}
