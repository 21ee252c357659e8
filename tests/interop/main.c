/* SPDX-License-Identifier: MIT */
/*
 * What the scripts of this folder need of the library.
 *
 *	interop load STREAM DIRECTORY [options]
 *		load the RAM of a QEMU stream through the handlers
 *	interop receive STREAM DIRECTORY LENGTHS [options]
 *		load all of it through the driver
 *	interop rewrite STREAM DIRECTORY OUT [options]
 *		load the RAM, and write the stream again with RAM sections of our own
 *	interop rewrite-live STREAM DIRECTORY OUT
 *		the same with XBZRLE, while a thread writes RAM; says how that went
 *	interop recode STREAM DIRECTORY [options]
 *		load the RAM, and encode each XBZRLE page in it again
 *
 * STREAM is a file, or an address of a socket to listen on: then a line on the standard error
 * says when somebody can connect.
 *
 * options:	PARAMETER=VALUE		first of all, any number of them
 *		rubbish			what is in the regions before is not zero
 *		NAME BYTES ADDRESS	this region is ignored (x-ignore-shared)
 *
 * Prints what it found, as JSON.
 */
#include "interop/framing.h"
#include "interop/live_rewrite.h"
#include "interop/receive.h"
#include "interop/recode.h"
#include "interop/regions.h"
#include "interop/rewrite.h"

#include <ramsync/ramsync.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tool {
	struct regions regions;
	struct framing framing;
	struct recoder recoder;
	struct writer writer;
	struct rs_stream *stream;
};

static int load(struct tool *tool)
{
	const struct rs_load_ops ops = { .size = sizeof(ops),
					 .region_announced = regions_announced };
	int result = rs_load_setup(tool->regions.state, &ops, &tool->regions);

	if (result == 0)
		result = framing_load(&tool->framing, tool->regions.state, tool->stream);
	rs_load_cleanup(tool->regions.state);
	return result;
}

static int print(const struct tool *tool)
{
	struct rs_stats stats = { .size = sizeof(stats) };
	int result = rs_stats_get(tool->regions.state, &stats);

	printf("{\"machine\": \"%s\", \"bodies\": %d, \"zero\": %llu, \"page\": %llu, "
	       "\"xbzrle\": %llu, \"overflows\": %llu, \"misses\": %llu, \"zero_copies\": %llu, "
	       "\"compressed\": %llu, \"recoded\": %llu, ",
	       tool->framing.machine, tool->framing.bodies, (unsigned long long)stats.duplicate,
	       (unsigned long long)stats.normal, (unsigned long long)stats.xbzrle_pages,
	       (unsigned long long)stats.xbzrle_overflow,
	       (unsigned long long)stats.xbzrle_cache_miss,
	       (unsigned long long)tool->writer.zero_copies,
	       (unsigned long long)stats.compress_pages, (unsigned long long)tool->recoder.deltas);
	regions_print(&tool->regions);
	printf("}\n");
	return result;
}

static int set_parameter(struct tool *tool, const char *option)
{
	const char *value = strchr(option, '=');
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)(value - option), option);
	return rs_param_set(tool->regions.state, name, value + 1);
}

static int take_options(struct tool *tool, int count, char **options)
{
	struct regions *regions = &tool->regions;

	for (; count > 0 && strchr(options[0], '=') != NULL; count--, options++)
		if (set_parameter(tool, options[0]) != 0)
			return -EINVAL;
	if (count == 1 && strcmp(options[0], "rubbish") == 0)
		regions->rubbish = 1;
	if (count != 3)
		return count == 0 || regions->rubbish ? 0 : -EINVAL;
	regions->ignored = options[0];
	regions->ignored_address = strtoull(options[2], NULL, 0);
	int result = rs_param_set(regions->state, "x-ignore-shared", "on");

	return result != 0 ? result : regions_add_ignored(regions, strtoull(options[1], NULL, 0));
}

static int open_stream(struct tool *tool, const char *from)
{
	struct rs_listener *listener;
	int result;

	if (strchr(from, ':') == NULL) {
		int fd = open(from, O_RDONLY | O_CLOEXEC);

		return fd < 0 ? -errno : rs_stream_from_fd(fd, RS_STREAM_READ, &tool->stream);
	}
	result = rs_stream_listen(from, &listener, NULL);
	if (result == 0) {
		fprintf(stderr, "listening\n");
		result = rs_listener_accept(listener, 0, &tool->stream, NULL);
		rs_listener_close(listener);
	}
	return result;
}

/* Each sequence resets the counters: the last one's are printed, unless it repeats what came. */
static int rewrite_and_print(struct tool *tool, const char *verb, const char *from, const char *to)
{
	int result = 0;

	tool->writer = (struct writer){ .regions = &tool->regions,
					.framing = &tool->framing,
					.state = tool->regions.state };
	if (strcmp(verb, "rewrite-live") == 0)
		result = rewrite_ram(&tool->writer, put_live_ram, from, to);
	if (result == 0)
		result = print(tool);
	if (result == 0 && strcmp(verb, "rewrite") == 0)
		result = rewrite_ram(&tool->writer, put_ram_in_rounds, from, to);
	return result;
}

static int work(struct tool *tool, int count, char **words)
{
	const char *verb = words[1], *from = words[2];
	int more = strcmp(verb, "load") == 0 || strcmp(verb, "recode") == 0 ? 0 : 1;
	int result = open_stream(tool, from);

	if (count < 4 + more || result != 0)
		return result != 0 ? result : -EINVAL;
	tool->regions.directory = words[3];
	tool->recoder.regions = &tool->regions;
	result = take_options(tool, count - 4 - more, words + 4 + more);
	if (result != 0)
		return result;
	if (strcmp(verb, "receive") == 0)
		result = receive(&tool->regions, tool->stream, words[4]);
	else if (strcmp(verb, "recode") == 0)
		result = recode(&tool->recoder, &tool->framing, tool->stream, from);
	else
		result = load(tool);
	return result == 0 ? rewrite_and_print(tool, verb, from, words[4]) : result;
}

int main(int argc, char **argv)
{
	struct tool tool = { 0 };
	struct rs_error error = { 0 };

	if (argc < 4 || rs_state_create(NULL, &tool.regions.state) != 0) {
		fprintf(stderr, "usage: interop load|receive|rewrite|rewrite-live|recode STREAM "
				"DIRECTORY ...\n");
		return 2;
	}
	int result = work(&tool, argc, argv);

	rs_error_get(tool.regions.state, RS_ERROR_OF_MIGRATION, &error);
	if (result != 0)
		fprintf(stderr, "%s: %s: %s\n", argv[1], strerror(-result), error.text);
	rs_stream_close(tool.stream, NULL);
	rs_state_destroy(tool.regions.state);
	return result != 0;
}
