/* SPDX-License-Identifier: MIT */
#include "migration_pair.h"

#include "measure.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

void make_tcp_pair(int sockets[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		measure_die("listen");
	sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(sockets[0], (struct sockaddr *)&address, sizeof(address)) != 0)
		measure_die("connect");
	sockets[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	setsockopt(sockets[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(sockets[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Both ends write here: the source when it stops, the destination when it runs. */
struct clock_pair {
	uint64_t stopped_ns;
	uint64_t resumed_ns;
};

static int on_stop(void *opaque)
{
	((struct clock_pair *)opaque)->stopped_ns = rs_clock_ns();
	return 0;
}

static int on_resume(void *opaque, enum rs_resume why)
{
	(void)why;
	((struct clock_pair *)opaque)->resumed_ns = rs_clock_ns();
	return 0;
}

static void check(struct rs_state *state, const char *what, int result)
{
	struct rs_error call, migration;

	if (result >= 0)
		return;
	rs_error_get(state, RS_ERROR_OF_CALL, &call);
	rs_error_get(state, RS_ERROR_OF_MIGRATION, &migration);
	fprintf(stderr, "%s: %s %s %s\n", what, strerror(-result), call.text, migration.text);
	exit(1);
}

static struct rs_state *make_state(struct memory memory, uint32_t flags, bool log)
{
	const struct rs_region_config config = { .size = sizeof(config),
						 .name = "ram",
						 .host = memory.data,
						 .used_bytes = memory.bytes,
						 .flags = flags };
	struct rs_state *state;
	struct rs_region *region;

	if (rs_state_create(NULL, &state) != 0)
		measure_die("rs_state_create");
	check(state, "rs_region_add", rs_region_add(state, &config, &region));
	if (log)
		check(state, "rs_region_add_dirty_log",
		      rs_region_add_dirty_log(region, &rs_dirty_log_userfaultfd, NULL));
	check(state, "max-bandwidth", rs_param_set(state, "max-bandwidth", "0"));
	return state;
}

struct migration_result migrate_memory(struct memory from, struct memory to,
				       const struct migration_options *options)
{
	const struct rs_vm_ops vm = { .size = sizeof(vm), .stop = on_stop, .resume = on_resume };
	struct migration_result result = { .stats.size = sizeof(result.stats) };
	struct rs_state *source = make_state(from, 0, options->log);
	struct rs_state *destination = make_state(to, options->fresh ? RS_REGION_FRESH : 0, false);
	struct clock_pair clocks = { 0 };
	struct rs_stream *out, *in;
	int sockets[2];

	make_tcp_pair(sockets);
	if (rs_stream_from_fd(sockets[0], RS_STREAM_TWO_WAY, &out) != 0 ||
	    rs_stream_from_fd(sockets[1], RS_STREAM_TWO_WAY, &in) != 0)
		measure_die("rs_stream_from_fd");
	check(source, "downtime-limit",
	      rs_param_set(source, "downtime-limit", options->downtime_limit));
	check(destination, "start", rs_migrate_start_in(destination, in, &vm, &clocks));

	uint64_t start = rs_clock_ns();

	check(source, "out", rs_migrate_out(source, out, &vm, &clocks));
	result.seconds = seconds_since(start);
	check(destination, "in", rs_migrate_wait(destination));
	rs_stats_get(source, &result.stats);
	result.blackout_ms = (double)(clocks.resumed_ns - clocks.stopped_ns) / 1e6;
	rs_stream_close(out, NULL);
	rs_stream_close(in, NULL);
	rs_state_destroy(source);
	rs_state_destroy(destination);
	return result;
}

long status_kib(const char *field)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	if (file == NULL)
		measure_die("/proc/self/status");
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtol(line + strlen(field), NULL, 10);
	fclose(file);
	return kib;
}

void reset_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "5", 1) != 1)
		measure_die("/proc/self/clear_refs");
	close(fd);
}
