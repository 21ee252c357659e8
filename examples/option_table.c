/* SPDX-License-Identifier: MIT */
#include "option_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BOTH (PROGRAM_SEND | PROGRAM_RECV)

#define ADDRESS_FORMS                                                                              \
	"tcp:HOST:PORT (a name, an IPv4 address, or an IPv6 address in brackets), unix:PATH, "     \
	"fd:NUMBER, exec:COMMAND or file:PATH."

const struct option_row option_table[OPTION_COUNT] = {
	[OPTION_TO] = { "to", "ADDRESS", PROGRAM_SEND,
			"Where to send the guest: " ADDRESS_FORMS " A receiver that does not "
			"listen yet is waited for, 10 seconds long." },
	[OPTION_FROM] = { "from", "ADDRESS", PROGRAM_RECV,
			  "Where to receive the guest: " ADDRESS_FORMS
			  " The real address, for instance after port 0, is told on standard "
			  "error." },
	[OPTION_MEMORY] = { "memory", "SIZE", BOTH,
			    "The guest's memory: regions ram.low (half, private anonymous), "
			    "ram.high (the rest, memfd) and rom (256K of it). ramsync-send: 1G, "
			    "unless there are regions of --region. ramsync-recv: without both of "
			    "them, whatever the stream announces, as private anonymous memory." },
	[OPTION_REGION] = { "region", "NAME:KIND:SIZE", BOTH,
			    "One more region; may be given again. KIND is anon, memfd or "
			    "hugetlb." },
	[OPTION_PAGE_SIZE] = { "page-size", "BYTES", BOTH,
			       "Page size on the wire, equal at both ends. Default 4096." },
	[OPTION_PREALLOC] = { "prealloc", NULL, BOTH,
			      "Touch all memory before anything else. At the receiver the memory "
			      "is then no longer known to be zero." },
	[OPTION_PATTERN] = { "pattern", "KIND", PROGRAM_SEND,
			     "What the memory is filled with: zero, text, random, or mix (half "
			     "zero, a quarter each of the others, by page). Default mix." },
	[OPTION_POPULATE] = { "populate", "SIZE", PROGRAM_SEND,
			      "Fill only so much, the beginning of each region; the rest is never "
			      "touched. Default: all." },
	[OPTION_IMAGE] = { "image", "FILE", PROGRAM_SEND,
			   "Fill the memory with a file instead, one region after the other; what "
			   "it has no data for is never touched." },
	[OPTION_WRITERS] = { "writers", "NUMBER", PROGRAM_SEND,
			     "Threads that keep writing the working set, and verify each page "
			     "before they write it again. Default 1; 0 for a guest that does "
			     "nothing." },
	[OPTION_DIRTY_RATE] = { "dirty-rate", "PAGES/S", PROGRAM_SEND,
				"Pages of 4096 bytes that all writers together write a second; 0 "
				"for as many as they can. Default 1000." },
	[OPTION_WORKING_SET] = { "working-set", "SIZE", PROGRAM_SEND,
				 "How much memory the writers go round, at the beginning of each "
				 "region. Default 16M, at most a quarter of the memory." },
	[OPTION_DIRTY_LOG] = { "dirty-log", "KIND", PROGRAM_SEND,
			       "How written pages are found: userfaultfd; marks (the writers call "
			       "rs_dirty_mark()); or none (for demonstrations: writes are lost, "
			       "and "
			       "the receiver finds out). Default: userfaultfd where the kernel has "
			       "it, else marks." },
	[OPTION_MAX_MEMORY] = { "max-memory", "SIZE", PROGRAM_RECV,
				"Most memory that a stream may announce. Default: as much as the "
				"machine has." },
	[OPTION_RUN_ON] = { "run-on", "SECONDS", PROGRAM_RECV,
			    "How long the writers go on here. At the end all of the working set is "
			    "verified. Until then a sender that is in doubt gets its answer. "
			    "Default 1." },
	[OPTION_QEMU] = { "qemu", "MACHINE", BOTH,
			  "Write QEMU's form of the stream for this machine type; the receiver "
			  "refuses any other. The same as --machine." },
	[OPTION_VERIFY] = { "verify", NULL, BOTH,
			    "Print a digest of all regions, to be compared with the other "
			    "program's. It is taken after the hand-over, outside of the downtime: "
			    "by the sender from its stopped guest, by the receiver before its "
			    "writers go on. So with --verify the receiver reports the guest as "
			    "running while the writers still wait for the digest. It detects "
			    "accidents; it is no cryptographic hash." },
	[OPTION_ON_DOUBT] = { "on-doubt", "ACTION", BOTH,
			      "If the stream is lost so late that this end cannot know whether the "
			      "guest runs at the other: reconnect (to the same address, for 10 "
			      "seconds), run (it runs here: make sure that it does not run "
			      "there), discard (it runs there), or exit. Default reconnect." },
	[OPTION_JSON] = { "json", NULL, BOTH,
			  "At the end, print the result and all statistics as one JSON object on "
			  "standard output. Its began-at and ended-at are seconds of "
			  "CLOCK_MONOTONIC, which both programs share on one machine; cpu-seconds "
			  "is what all threads of the program used in between." },
	[OPTION_PROGRESS] = { "progress", NULL, BOTH,
			      "Show the progress on standard error, terminal or not. Default: on a "
			      "terminal." },
	[OPTION_HELP] = { "help", NULL, BOTH, "Print this and exit." },
	[OPTION_VERSION] = { "version", NULL, BOTH, "Print the library's version and exit." },
};

/* Words of @text in columns @indent to 79, after @used columns of the first line. */
static void print_wrapped(const char *text, size_t used, size_t indent)
{
	size_t column = used;

	if (used && used + 2 > indent) {
		putchar('\n');
		column = 0;
	}
	while (*text) {
		size_t length = strcspn(text, " ");

		if (column > indent && column + 1 + length > 79) {
			putchar('\n');
			column = 0;
		}
		if (column > indent)
			column += (size_t)printf(" ");
		else
			column += (size_t)printf("%*s", (int)(indent - column), "");
		column += (size_t)printf("%.*s", (int)length, text);
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void print_option(const char *name, const char *value, const char *help)
{
	int used = printf("  --%s%s%s", name, value ? " " : "", value ? value : "");

	print_wrapped(help, (size_t)used, 26);
}

static void print_parameter(const struct rs_param_info *info)
{
	char help[512];

	if (info->type == RS_PARAM_UINT)
		snprintf(help, sizeof(help), "%s From %" PRIu64 " to %" PRIu64 "%s%s, default %s.",
			 info->help, info->min, info->max, *info->unit ? " " : "", info->unit,
			 info->def);
	else
		snprintf(help, sizeof(help), "%s%s%s%s", info->help, *info->def ? " Default " : "",
			 info->def, *info->def ? "." : "");
	print_option(info->name, info->type == RS_PARAM_BOOL ? "on|off" : "VALUE", help);
}

static void print_exit_codes(enum program program)
{
	bool send = program == PROGRAM_SEND;

	printf("\nExit codes:\n");
	printf("  0   %s\n",
	       send ? "the guest was handed over" : "the guest arrived, and ran without a fault");
	printf("  1   the migration failed or could not begin%s\n",
	       send ? "; the guest ran on here" : "");
	printf("  2   the guest found a page that is not what it must be\n");
	printf("  3   cancelled by SIGINT or SIGTERM%s\n", send ? "; the guest ran on here" : "");
	printf("  4   in doubt: the guest is complete and stopped here, and nobody knows\n"
	       "      whether it runs at the other end\n");
	printf("  64  wrong command line\n");
}

void option_help(enum program program, const char *program_name)
{
	bool send = program == PROGRAM_SEND;

	printf("Usage: %s --%s ADDRESS [OPTION]...\n\n", program_name, send ? "to" : "from");
	print_wrapped(send ? "Make a guest stand-in, memory with threads that keep writing to it, "
			     "and migrate it live to ramsync-recv or into a file."
			   : "Receive the guest of ramsync-send, or one from a file, and run it.",
		      0, 0);
	printf("\nOptions (a SIZE is in bytes, or ends in K, M, G or T):\n");
	for (unsigned i = 0; i < OPTION_COUNT; i++)
		if (option_table[i].programs & program)
			print_option(option_table[i].name, option_table[i].value,
				     option_table[i].help);
	printf("\nParameters of the library:\n");
	for (const struct rs_param_info *p = rs_param_next(NULL); p; p = rs_param_next(p))
		print_parameter(p);
	print_exit_codes(program);
}
