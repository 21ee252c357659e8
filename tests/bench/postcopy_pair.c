/* SPDX-License-Identifier: MIT */
#include "postcopy_pair.h"

#include "measure.h"
#include "migration_pair.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#define SMALL_PAGE ((size_t)4096)
#define NAP_US 1000

/* What both processes see. */
struct common {
	_Atomic uint64_t ordered_ns;
	_Atomic uint64_t stopped_ns;
	_Atomic uint64_t resumed_ns;
	_Atomic uint64_t final_sync_ns;
};

struct run {
	const struct postcopy_plan *plan;
	struct common *common;
	int main_sockets[2];
	int channel_sockets[2];
	int done_pipe[2]; /* the guest has done its work */
	/* of one of the processes */
	struct rs_state *state;
	unsigned char *memory;
	pthread_t thread; /* guest or writer */
	bool started;
	unsigned passes;
	_Atomic bool stops;
};

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

/* ---- memory -------------------------------------------------------------------------------- */

unsigned char *make_guest_memory(size_t bytes, size_t page_bytes)
{
	if (page_bytes == SMALL_PAGE)
		return map_memory(bytes);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		measure_die("mmap of huge pages");
	return memory;
}

static uint64_t name_of(size_t number)
{
	return (number + 1) * 0x9e3779b97f4a7c15ull;
}

void fill_page(unsigned char *page, size_t page_bytes, size_t number)
{
	uint64_t *words = (uint64_t *)page, state = name_of(number);

	for (size_t i = 0; i < page_bytes / sizeof(*words); i++)
		words[i] = next_random(&state);
	words[0] = name_of(number);
}

bool is_page(const unsigned char *page, size_t number)
{
	return *(const volatile uint64_t *)page == name_of(number);
}

static void check_memory(const struct run *run)
{
	size_t page_bytes = run->plan->page_bytes;

	for (size_t i = 0; i < run->plan->bytes / page_bytes; i++)
		if (!is_page(run->memory + i * page_bytes, i)) {
			fprintf(stderr, "page %zu did not arrive as it was\n", i);
			exit(1);
		}
}

/* ---- processes ----------------------------------------------------------------------------- */

pid_t run_in_child(void (*run)(void *opaque), void *opaque)
{
	fflush(stdout);
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		measure_die("fork");
	if (child > 0)
		return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	run(opaque);
	_exit(0);
}

void await_child(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || status != 0) {
		fprintf(stderr, "the child failed\n");
		exit(1);
	}
}

static double seconds_of_rusage(int who)
{
	struct rusage usage;

	if (getrusage(who, &usage) != 0)
		measure_die("getrusage");
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double seconds_of_others(void)
{
	/* user, nice, system, idle, iowait, irq, softirq, steal */
	unsigned long long ticks[8];
	FILE *file = fopen("/proc/stat", "re");

	if (file == NULL ||
	    fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1],
		   &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != 8)
		measure_die("/proc/stat");
	fclose(file);
	double busy = (double)(ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]) /
		      (double)sysconf(_SC_CLK_TCK);

	return busy - seconds_of_rusage(RUSAGE_SELF) - seconds_of_rusage(RUSAGE_CHILDREN);
}

/* ---- both ends ----------------------------------------------------------------------------- */

static void make_state(struct run *run, uint32_t flags)
{
	const struct postcopy_plan *plan = run->plan;
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "ram",
		.host = run->memory,
		.used_bytes = plan->bytes,
		.host_page_bytes = plan->page_bytes,
		.flags = flags,
	};
	struct rs_region *region;

	if (rs_state_create(NULL, &run->state) != 0)
		measure_die("rs_state_create");
	check(run->state, "rs_region_add", rs_region_add(run->state, &config, &region));
	if (plan->working_set != 0 && flags == 0)
		check(run->state, "rs_region_add_dirty_log",
		      rs_region_add_dirty_log(region, &rs_dirty_log_userfaultfd, NULL));
	rs_param_set(run->state, "max-bandwidth", "0");
	rs_param_set(run->state, "postcopy-ram", "on");
	rs_param_set(run->state, "postcopy-preempt", plan->preempt ? "on" : "off");
	check(run->state, "max-postcopy-bandwidth",
	      rs_param_set(run->state, "max-postcopy-bandwidth", plan->bandwidth));
}

static struct rs_stream *make_stream(int socket)
{
	struct rs_stream *stream;

	if (rs_stream_from_fd(socket, RS_STREAM_TWO_WAY, &stream) != 0)
		measure_die("rs_stream_from_fd");
	return stream;
}

/* ---- the source ---------------------------------------------------------------------------- */

static void *write_working_set(void *opaque)
{
	struct run *run = opaque;

	while (!run->stops) {
		for (size_t at = 64; at < run->plan->working_set && !run->stops; at += SMALL_PAGE)
			*(volatile uint64_t *)(run->memory + at) += 1;
		usleep(NAP_US);
	}
	return NULL;
}

static int on_stop(void *opaque)
{
	struct run *run = opaque;

	run->common->stopped_ns = rs_clock_ns();
	run->stops = true;
	if (run->started)
		pthread_join(run->thread, NULL);
	return 0;
}

static int on_stay(void *opaque, enum rs_resume why)
{
	(void)opaque;
	(void)why;
	fprintf(stderr, "the guest stayed\n");
	exit(1);
}

static void on_event(void *opaque, const struct rs_event *event)
{
	struct run *run = opaque;
	bool now = run->plan->passes == 0
		       ? event->type == RS_EVENT_STATUS && event->status == RS_STATUS_SETUP
		       : event->type == RS_EVENT_PASS && ++run->passes == run->plan->passes;

	if (!now)
		return;
	run->common->ordered_ns = rs_clock_ns();
	check(run->state, "rs_migrate_start_postcopy", rs_migrate_start_postcopy(run->state));
}

static int open_out(void *opaque, struct rs_stream **stream)
{
	*stream = make_stream(((struct run *)opaque)->channel_sockets[0]);
	return 0;
}

static void *await_done(void *opaque)
{
	struct run *run = opaque;
	char byte;

	if (read(run->done_pipe[0], &byte, 1) == 1)
		rs_param_set(run->state, "max-postcopy-bandwidth", "0");
	return NULL;
}

static void run_source(void *opaque)
{
	static const struct rs_vm_ops vm = {
		.size = sizeof(vm),
		.stop = on_stop,
		.resume = on_stay,
		.event = on_event,
		.open_channel = open_out,
	};
	struct run *run = opaque;
	struct rs_stats stats = { .size = sizeof(stats) };
	size_t page_bytes = run->plan->page_bytes;
	pthread_t waiter;

	close(run->main_sockets[1]);
	close(run->channel_sockets[1]);
	close(run->done_pipe[1]);
	run->memory = make_guest_memory(run->plan->bytes, page_bytes);
	for (size_t i = 0; i < run->plan->bytes / page_bytes; i++)
		fill_page(run->memory + i * page_bytes, page_bytes, i);
	make_state(run, 0);
	if (run->plan->working_set != 0)
		run->started = pthread_create(&run->thread, NULL, write_working_set, run) == 0;
	pthread_create(&waiter, NULL, await_done, run);
	struct rs_stream *stream = make_stream(run->main_sockets[0]);

	check(run->state, "out", rs_migrate_out(run->state, stream, &vm, run));
	rs_stats_get(run->state, &stats);
	run->common->final_sync_ns = stats.final_sync_ns;
	pthread_join(waiter, NULL);
}

/* ---- the destination ----------------------------------------------------------------------- */

static void *run_guest(void *opaque)
{
	struct run *run = opaque;

	if (run->plan->guest != NULL)
		run->plan->guest(run->plan->opaque, run->memory);
	if (write(run->done_pipe[1], "", 1) != 1)
		measure_die("pipe");
	return NULL;
}

static int on_resume(void *opaque, enum rs_resume why)
{
	struct run *run = opaque;

	(void)why;
	run->started = pthread_create(&run->thread, NULL, run_guest, run) == 0;
	run->common->resumed_ns = rs_clock_ns();
	return 0;
}

static int open_in(void *opaque, struct rs_stream **stream)
{
	*stream = make_stream(((struct run *)opaque)->channel_sockets[1]);
	return 0;
}

static void run_destination(struct run *run)
{
	static const struct rs_vm_ops vm = {
		.size = sizeof(vm),
		.resume = on_resume,
		.open_channel = open_in,
	};

	run->memory = make_guest_memory(run->plan->bytes, run->plan->page_bytes);
	make_state(run, RS_REGION_FRESH);
	struct rs_stream *stream = make_stream(run->main_sockets[1]);

	check(run->state, "in", rs_migrate_in(run->state, stream, &vm, run));
	if (run->started)
		pthread_join(run->thread, NULL);
	rs_stream_close(stream, NULL);
}

static void open_run(struct run *run, const struct postcopy_plan *plan)
{
	void *common = mmap(NULL, sizeof(struct common), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (common == MAP_FAILED || pipe(run->done_pipe) != 0)
		measure_die("mmap or pipe");
	run->plan = plan;
	run->common = common;
	make_tcp_pair(run->main_sockets);
	make_tcp_pair(run->channel_sockets);
}

static void close_run(struct run *run)
{
	rs_state_destroy(run->state);
	munmap(run->memory, run->plan->bytes);
	munmap(run->common, sizeof(*run->common));
	close(run->done_pipe[1]);
	/* Else it is the library's. */
	if (!run->plan->preempt)
		close(run->channel_sockets[1]);
}

struct postcopy_outcome run_postcopy(const struct postcopy_plan *plan)
{
	struct postcopy_outcome outcome = { .stats.size = sizeof(outcome.stats) };
	struct run run = { .plan = plan };

	open_run(&run, plan);
	pid_t child = run_in_child(run_source, &run);

	close(run.main_sockets[0]);
	close(run.channel_sockets[0]);
	close(run.done_pipe[0]);
	run_destination(&run);
	outcome.seconds = seconds_since(run.common->resumed_ns);
	await_child(child);
	check_memory(&run);
	rs_stats_get(run.state, &outcome.stats);
	outcome.blackout_ms = (double)(run.common->resumed_ns - run.common->stopped_ns) / 1e6;
	outcome.early_ms = (double)(run.common->stopped_ns - run.common->ordered_ns) / 1e6;
	outcome.final_sync_ms = (double)run.common->final_sync_ns / 1e6;
	close_run(&run);
	return outcome;
}
