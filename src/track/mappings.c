/* SPDX-License-Identifier: MIT */
#include "track/mappings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct mapping_list {
	struct rs_mapping *mappings;
	size_t count;
	size_t room;
};

static bool continues(const struct rs_mapping *before, const struct rs_mapping *after)
{
	return before->kind == after->kind && before->end == after->start &&
	       before->device == after->device && before->inode == after->inode &&
	       (before->inode == 0 ||
		before->file_offset + (before->end - before->start) == after->file_offset);
}

static int list_add(struct mapping_list *list, const struct rs_mapping *mapping)
{
	if (list->count > 0 && continues(&list->mappings[list->count - 1], mapping)) {
		list->mappings[list->count - 1].end = mapping->end;
		return 0;
	}
	if (list->count == list->room) {
		size_t room = list->room == 0 ? 8 : 2 * list->room;
		void *grown = reallocarray(list->mappings, room, sizeof(*list->mappings));

		if (grown == NULL)
			return -ENOMEM;
		list->mappings = grown;
		list->room = room;
	}
	list->mappings[list->count++] = *mapping;
	return 0;
}

static bool is_anonymous_name(const char *name)
{
	return *name == '\0' || strcmp(name, "[heap]") == 0 || strcmp(name, "[stack]") == 0 ||
	       strncmp(name, "[anon:", 6) == 0;
}

static enum rs_mapping_kind classify(bool shared, bool file, const char *name)
{
	if (file)
		return shared ? RS_MAPPING_SHARED_FILE : RS_MAPPING_PRIVATE_FILE;
	/* [vvar] and its like have no file either. */
	return !shared && is_anonymous_name(name) ? RS_MAPPING_ANONYMOUS : RS_MAPPING_UNKNOWN;
}

/* "start-end rwxp offset major:minor inode    name" */
static bool parse_line(char *line, struct rs_mapping *mapping)
{
	unsigned major, minor;
	char permissions[5];
	int name_at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &mapping->start, &mapping->end, permissions, &mapping->file_offset, &major,
		   &minor, &mapping->inode, &name_at) < 7)
		return false;
	mapping->device = makedev(major, minor);
	mapping->kind = classify(permissions[3] == 's', mapping->device != 0 || mapping->inode != 0,
				 line + name_at);
	return true;
}

/* Leave only what lies inside [start, end). */
static bool clip(struct rs_mapping *mapping, uintptr_t start, uintptr_t end)
{
	if (mapping->start < start) {
		mapping->file_offset += start - mapping->start;
		mapping->start = start;
	}
	if (mapping->end > end)
		mapping->end = end;
	return mapping->start < mapping->end;
}

static int add_gap(struct mapping_list *list, uintptr_t start, uintptr_t end)
{
	struct rs_mapping gap = { .start = start, .end = end, .kind = RS_MAPPING_UNKNOWN };

	return start < end ? list_add(list, &gap) : 0;
}

static int read_lines(FILE *maps, uintptr_t start, uintptr_t end, struct mapping_list *list)
{
	uintptr_t position = start;
	size_t room = 0;
	char *line = NULL;
	int result = 0;

	while (result == 0 && position < end && getline(&line, &room, maps) > 0) {
		struct rs_mapping mapping;

		/* What another thread maps meanwhile can make lines overlap: clip to what is new.
		 */
		if (!parse_line(line, &mapping) || !clip(&mapping, position, end))
			continue;
		result = add_gap(list, position, mapping.start);
		if (result == 0)
			result = list_add(list, &mapping);
		position = mapping.end;
	}
	free(line);
	return result == 0 ? add_gap(list, position, end) : result;
}

int rs_mappings_read(uintptr_t start, uintptr_t end, struct rs_mapping **mappings, size_t *count)
{
	struct mapping_list list = { .mappings = NULL };
	FILE *maps = fopen("/proc/self/maps", "re");

	if (maps == NULL)
		return -errno;
	int result = read_lines(maps, start, end, &list);

	fclose(maps);
	if (result != 0) {
		free(list.mappings);
		return result;
	}
	*mappings = list.mappings;
	*count = list.count;
	return 0;
}
