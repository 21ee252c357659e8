/* SPDX-License-Identifier: MIT */
#include "command/option_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct program_row {
	enum program program;
	const char *name;
	const char *usage;
	const char *about;
	const char *exit_codes;
};

#define INPUT_FORMS                                                                                \
	"A file may be - for standard input, or an address to receive from: tcp:HOST:PORT, "       \
	"unix:PATH, fd:NUMBER, exec:COMMAND or file:PATH. What gzip packed is unpacked. "

static const struct program_row programs[] = {
	{ PROGRAM_SEND, "ramsync-send", "--to ADDRESS [OPTION]...",
	  "Make a guest stand-in, memory with threads that keep writing to it, and migrate it live "
	  "to ramsync-recv or into a file.",
	  "  0   the guest was handed over\n"
	  "  1   the migration failed or could not begin; the guest ran on here\n"
	  "  2   the guest found a page that is not what it must be\n"
	  "  3   cancelled by SIGINT or SIGTERM; the guest ran on here\n"
	  "  4   in doubt: the guest is complete and stopped here, and nobody knows\n"
	  "      whether it runs at the other end\n"
	  "  5   the connection broke in postcopy, and was not recovered\n" },
	{ PROGRAM_RECV, "ramsync-recv", "--from ADDRESS [OPTION]...",
	  "Receive the guest of ramsync-send, or one from a file, and run it; or take one from a "
	  "QEMU into files.",
	  "  0   the guest arrived, and ran without a fault\n"
	  "  1   the migration failed or could not begin\n"
	  "  2   the guest found a page that is not what it must be\n"
	  "  3   cancelled by SIGINT or SIGTERM\n"
	  "  4   in doubt: the guest is complete and stopped here, and nobody knows\n"
	  "      whether it runs at the other end\n"
	  "  5   the connection broke in postcopy, and was not recovered\n" },
	{ PROGRAM_INSPECT, "ramsync-inspect", "[OPTION]... FILE",
	  "Check a migration stream of QEMU or of this library, show what stands in it, and get "
	  "the "
	  "guest's memory out of it. " INPUT_FORMS
	  "The guest is never taken over: a source that waits for an answer is told to keep it. (A "
	  "QEMU without a return path waits for none, and stops its guest.)",
	  "  0   the stream is whole\n"
	  "  1   it is damaged or of a kind that is not supported, or something could\n"
	  "      not be read or written\n" },
	{ PROGRAM_CONVERT, "ramsync-convert", "[OPTION]... IN OUT",
	  "Read a QEMU's migration stream and write it anew: one that went several times over its "
	  "memory becomes one with each page once, that any QEMU of the same machine type loads. "
	  "IN and OUT are files. " INPUT_FORMS
	  "OUT may be an address to send to, or - for standard output; a file appears when it is "
	  "whole. A QEMU at IN that waits for an answer gives its guest up once OUT has taken all "
	  "of "
	  "it; whether a QEMU behind an address there could load it nobody says.",
	  "  0   OUT is written\n"
	  "  1   IN is damaged or of a kind that is not supported, or OUT or the report\n"
	  "      could not be written\n" },
};

static const struct program_row *find_program(enum program program)
{
	const struct program_row *row = programs;

	while (row->program != program)
		row++;
	return row;
}

const char *option_program_name(enum program program)
{
	return find_program(program)->name;
}

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

void option_help(enum program program)
{
	const struct program_row *row = find_program(program);

	printf("Usage: %s %s\n\n", row->name, row->usage);
	print_wrapped(row->about, 0, 0);
	printf("\nOptions (a SIZE is in bytes, or ends in K, M, G or T):\n");
	for (unsigned i = 0; i < OPTION_COUNT; i++)
		if (option_table[i].programs & program)
			print_option(option_table[i].name, option_table[i].value,
				     option_table[i].help);
	printf("\nParameters of the library:\n");
	for (const struct rs_param_info *p = rs_param_next(NULL); p; p = rs_param_next(p))
		print_parameter(p);
	printf("\nExit codes:\n%s  64  wrong command line\n", row->exit_codes);
}
