/* SPDX-License-Identifier: MIT */
#include "tinyvmm/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)

static const char usage[] =
    "usage: tinyvmm run [OPTION]...\n"
    "       tinyvmm control PATH COMMAND [ARGUMENT]...\n"
    "\n"
    "Run a small guest under KVM, whose vCPUs check their memory all the time, and migrate it.\n"
    "\n"
    "Options:\n"
    "  --vcpus N              1 to 4 (1)\n"
    "  --memory SIZE          memory of the guest, with K, M or G behind it (64M)\n"
    "  --working-set SIZE     how much of it the vCPUs work on, together (16M)\n"
    "  --idle                 have them wait for their timers instead\n"
    "  --incoming ADDRESS     wait for a guest from another tinyvmm, made with the same options\n"
    "  --control PATH         take commands at this socket\n"
    "  --stay                 do not end when the guest has gone, or did not come\n"
    "  --digest               take a digest of all memory at every hand-over; status shows it\n"
    "  --dirty-log LOG        auto, kvm or userfaultfd (auto, which is kvm)\n"
    "  --forget-marks         for tests: devices do not say what they write, so that memory\n"
    "                         which they wrote is lost in a migration\n"
    "  --help                 show this\n"
    "\n"
    "Commands:\n"
    "  migrate ADDRESS        send the guest\n"
    "  incoming ADDRESS       wait for a guest\n"
    "  cancel                 end the migration; the guest goes on\n"
    "  resolve run|discard    a migration in doubt: the guest is this end's, or it is not\n"
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
    "  64                     bad usage\n";

void options_usage(enum exit_code code)
{
	fputs(usage, code == EXIT_DONE ? stdout : stderr);
	exit((int)code);
}

__attribute__((noreturn)) static void refuse(const char *option, const char *value)
{
	fprintf(stderr, "tinyvmm: --%s %s: that is not possible\n", option, value);
	exit(EXIT_BAD_USAGE);
}

static uint64_t parse_number(const char *option, const char *value, uint64_t min, uint64_t max)
{
	char *end = NULL;
	unsigned long long number = strtoull(value, &end, 10);
	const char *suffixes = "KMG", *suffix = *end ? strchr(suffixes, *end) : NULL;

	if (suffix) {
		number <<= 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*value < '0' || *value > '9' || *end || number < min || number > max)
		refuse(option, value);
	return number;
}

static enum dirty_log parse_dirty_log(const char *value)
{
	if (!strcmp(value, "auto") || !strcmp(value, "kvm"))
		return DIRTY_LOG_KVM;
	if (!strcmp(value, "userfaultfd"))
		return DIRTY_LOG_USERFAULTFD;
	refuse("dirty-log", value);
}

enum { VCPUS, MEMORY, WORKING_SET, IDLE, INCOMING, CONTROL, STAY, DIGEST, DIRTY_LOG, FORGET, HELP };

static const struct option long_options[] = {
	{ "vcpus", required_argument, NULL, VCPUS },
	{ "memory", required_argument, NULL, MEMORY },
	{ "working-set", required_argument, NULL, WORKING_SET },
	{ "idle", no_argument, NULL, IDLE },
	{ "incoming", required_argument, NULL, INCOMING },
	{ "control", required_argument, NULL, CONTROL },
	{ "stay", no_argument, NULL, STAY },
	{ "digest", no_argument, NULL, DIGEST },
	{ "dirty-log", required_argument, NULL, DIRTY_LOG },
	{ "forget-marks", no_argument, NULL, FORGET },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

static void take(struct options *options, int which)
{
	struct vm_config *vm = &options->vm;

	switch (which) {
	case VCPUS:
		vm->vcpus = (unsigned)parse_number("vcpus", optarg, 1, MACHINE_VCPUS_MAX);
		break;
	case MEMORY:
		vm->memory_bytes = parse_number("memory", optarg, 2 * MIB, MACHINE_MEMORY_MAX);
		break;
	case WORKING_SET:
		vm->working_set_bytes =
		    parse_number("working-set", optarg, MACHINE_PAGE, MACHINE_MEMORY_MAX);
		break;
	case IDLE:
		vm->idle = true;
		break;
	case INCOMING:
		options->incoming = optarg;
		break;
	case CONTROL:
		options->control = optarg;
		break;
	case STAY:
		options->stay = true;
		break;
	case DIGEST:
		options->digest = true;
		break;
	case DIRTY_LOG:
		vm->dirty_log = parse_dirty_log(optarg);
		break;
	case FORGET:
		vm->forget_marks = true;
		break;
	case HELP:
		options_usage(EXIT_DONE);
	default:
		exit(EXIT_BAD_USAGE);
	}
}

/* Between the payload and the end of memory. */
static void check_memory(const struct vm_config *vm)
{
	uint64_t room = 0;

	if (vm->memory_bytes > MACHINE_WORK)
		room = vm->memory_bytes - MACHINE_WORK;
	if (vm->memory_bytes % MACHINE_PAGE || vm->working_set_bytes > room ||
	    vm->working_set_bytes < vm->vcpus * MACHINE_PAGE) {
		fprintf(stderr, "tinyvmm: the working set needs a page for each vCPU, and 16M more "
				"memory than it has\n");
		exit(EXIT_BAD_USAGE);
	}
}

void options_parse(struct options *options, int argc, char **argv)
{
	int which;

	*options = (struct options){
		.vm = { .vcpus = 1, .memory_bytes = 64 * MIB, .working_set_bytes = 16 * MIB },
	};
	while ((which = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		take(options, which);
	if (optind != argc)
		options_usage(EXIT_BAD_USAGE);
	check_memory(&options->vm);
}
