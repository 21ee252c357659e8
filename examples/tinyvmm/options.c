/* SPDX-License-Identifier: MIT */
#include "tinyvmm/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)

enum {
	VCPUS = 1,
	MEMORY,
	WORKING_SET,
	IDLE,
	INCOMING,
	CONTROL,
	STAY,
	DIGEST,
	DIRTY_LOG,
	FORGET,
	POSTCOPY,
	POSTCOPY_AFTER,
	PREEMPT,
	MAX_POSTCOPY_BANDWIDTH,
};

static const struct argp_option table[] = {
	{ "vcpus", VCPUS, "N", 0, "1 to 4 (1)", 0 },
	{ "memory", MEMORY, "SIZE", 0, "memory of the guest, with K, M or G behind it (64M)", 0 },
	{ "working-set", WORKING_SET, "SIZE", 0, "how much of it the vCPUs work on, together (16M)",
	  0 },
	{ "idle", IDLE, NULL, 0, "have them wait for their timers instead", 0 },
	{ "incoming", INCOMING, "ADDRESS", 0,
	  "wait for a guest from another tinyvmm, made with the same options", 0 },
	{ "control", CONTROL, "PATH", 0, "take commands at this socket", 0 },
	{ "stay", STAY, NULL, 0, "do not end when the guest has gone, or did not come", 0 },
	{ "digest", DIGEST, NULL, 0,
	  "take a digest of all memory at every hand-over; status shows it", 0 },
	{ "dirty-log", DIRTY_LOG, "LOG", 0, "kvm or userfaultfd (kvm)", 0 },
	{ "postcopy", POSTCOPY, NULL, 0,
	  "by postcopy: the guest moves at once, and its memory afterwards; to be given at both "
	  "ends",
	  0 },
	{ "postcopy-after", POSTCOPY_AFTER, "ROUNDS", 0,
	  "by postcopy, but only after so many passes over memory", 0 },
	{ "preempt", PREEMPT, NULL, 0,
	  "in postcopy, send pages that the guest waits for over a connection of their own; at "
	  "both ends",
	  0 },
	{ "max-postcopy-bandwidth", MAX_POSTCOPY_BANDWIDTH, "BYTES", 0,
	  "in postcopy, most bytes a second of pages that nobody waits for, with K, M or G behind "
	  "it (0: no limit)",
	  0 },
	{ "forget-marks", FORGET, NULL, 0,
	  "for tests: devices do not say what they write, so that memory which they wrote is lost "
	  "in a migration",
	  0 },
	{ 0 },
};

static const char doc[] =
    "Run a small guest under KVM, whose vCPUs check their memory all the time, and migrate it.\v"
    "Commands, each given with \"tinyvmm control PATH COMMAND\":\n"
    "  migrate ADDRESS        send the guest\n"
    "  incoming ADDRESS       wait for a guest\n"
    "  cancel                 end the migration; the guest goes on\n"
    "  postcopy               have the guest move now, and the rest of its memory afterwards\n"
    "  pause                  give the connection of a postcopy up\n"
    "  recover ADDRESS        go on with a postcopy that is paused: the source connects to the "
    "address,\n"
    "                         the destination listens there\n"
    "  resolve run|discard    in doubt, or postcopy paused: the guest is this end's, or is not\n"
    "  status                 guest, migration, statistics\n"
    "  set NAME VALUE         change a parameter of the migration\n"
    "  stop, cont             stop the guest, and let it go on\n"
    "  digest                 digest of all memory of a guest that is stopped\n"
    "  quit                   end\n"
    "\n"
    "Exit code:\n"
    "  0                      the guest has gone, or quit\n"
    "  1                      failure\n"
    "  2                      the guest found itself corrupt\n"
    "  3                      the guest crashed\n"
    "  64                     bad usage";

static uint64_t parse_number(struct argp_state *state, const char *name, const char *value,
			     uint64_t min, uint64_t max)
{
	char *end = NULL;
	unsigned long long number = strtoull(value, &end, 10);
	const char *suffixes = "KMG", *suffix = *end ? strchr(suffixes, *end) : NULL;
	unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;

	if (*value < '0' || *value > '9' || end[suffix != NULL] || number < min >> shift ||
	    number > max >> shift)
		argp_error(state, "--%s %s: that is not possible", name, value);
	return number << shift;
}

static void check_postcopy(struct argp_state *state, const struct options *options)
{
	if (!options->postcopy && (options->preempt || options->max_postcopy_bandwidth))
		argp_error(state, "--preempt and --max-postcopy-bandwidth are for --postcopy");
}

/* The working set is between the payload and the end of memory. */
static void check_memory(struct argp_state *state, const struct vm_config *vm)
{
	uint64_t room = vm->memory_bytes > MACHINE_WORK ? vm->memory_bytes - MACHINE_WORK : 0;

	if (vm->memory_bytes % MACHINE_PAGE || vm->working_set_bytes > room ||
	    vm->working_set_bytes < vm->vcpus * MACHINE_PAGE)
		argp_error(state, "the working set needs a page for each vCPU, and 16M more memory "
				  "than it has");
}

static error_t take(int key, char *value, struct argp_state *state)
{
	struct options *options = state->input;
	struct vm_config *vm = &options->vm;

	switch (key) {
	case VCPUS:
		vm->vcpus = (unsigned)parse_number(state, "vcpus", value, 1, MACHINE_VCPUS_MAX);
		return 0;
	case MEMORY:
		vm->memory_bytes =
		    parse_number(state, "memory", value, 2 * MIB, MACHINE_MEMORY_MAX);
		return 0;
	case WORKING_SET:
		vm->working_set_bytes =
		    parse_number(state, "working-set", value, MACHINE_PAGE, MACHINE_MEMORY_MAX);
		return 0;
	case IDLE:
		vm->idle = true;
		return 0;
	case INCOMING:
		options->incoming = value;
		return 0;
	case CONTROL:
		options->control = value;
		return 0;
	case STAY:
		options->stay = true;
		return 0;
	case DIGEST:
		options->digest = true;
		return 0;
	case DIRTY_LOG:
		vm->userfaultfd = !strcmp(value, "userfaultfd");
		if (!vm->userfaultfd && strcmp(value, "kvm") != 0)
			argp_error(state, "--dirty-log %s: there is no such log", value);
		return 0;
	case POSTCOPY:
		options->postcopy = true;
		return 0;
	case POSTCOPY_AFTER:
		options->postcopy = true;
		options->postcopy_after =
		    (unsigned)parse_number(state, "postcopy-after", value, 0, 1000000);
		return 0;
	case PREEMPT:
		options->preempt = true;
		return 0;
	case MAX_POSTCOPY_BANDWIDTH:
		options->max_postcopy_bandwidth = value;
		return 0;
	case FORGET:
		vm->forget_marks = true;
		return 0;
	case ARGP_KEY_END:
		check_memory(state, vm);
		check_postcopy(state, options);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void options_parse(struct options *options, int argc, char **argv)
{
	const struct argp argp = { .options = table, .parser = take, .doc = doc };

	*options = (struct options){
		.vm = { .vcpus = 1, .memory_bytes = 64 * MIB, .working_set_bytes = 16 * MIB },
	};
	argp_err_exit_status = EXIT_BAD_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, options);
}
