/* SPDX-License-Identifier: MIT */
/*
 * ramsync-inspect and ramsync-convert from end to end, on files of any kind: no file is made outside
 * the directory that was asked for; a failure extracts nothing unless asked to; and what convert
 * wrote holds the same memory and device state as what it read.
 *
 * Input: a byte of options, then the file.
 */
#include "fuzz/programs/programs.h"

#include "fuzz/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPTION_LAX 0x01
#define OPTION_JSON 0x02
#define OPTION_KEEP_GOING 0x04
#define OPTION_CONVERT 0x08

#define WORDS_MAX 16

/* In memory, and nobody else's: IN and OUT are files, A and B directories for what is in them. */
static char folder[64];
static char in[80], out[80], a[80], b[80], devices_a[80], devices_b[80];

static void remove_folder(void)
{
	rmdir(folder);
}

static void set_up(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	snprintf(folder, sizeof(folder), "/dev/shm/fuzz-programs.XXXXXX");
	CHECK(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
	snprintf(in, sizeof(in), "%s/in", folder);
	snprintf(out, sizeof(out), "%s/out", folder);
	snprintf(a, sizeof(a), "%s/a", folder);
	snprintf(b, sizeof(b), "%s/b", folder);
	snprintf(devices_a, sizeof(devices_a), "%s/devices-a", folder);
	snprintf(devices_b, sizeof(devices_b), "%s/devices-b", folder);
	/* The reports are long, and nobody reads them. Errors are for whoever looks at a crash. */
	CHECK(null >= 0 && dup2(null, STDOUT_FILENO) >= 0);
	close(null);
}

/* ---- files --------------------------------------------------------------------------------- */

static void write_file(const char *path, const uint8_t *data, size_t bytes)
{
	FILE *file = fopen(path, "we");

	CHECK(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

static bool same_content(const char *left, const char *right)
{
	FILE *files[] = { fopen(left, "re"), fopen(right, "re") };
	int bytes[2];

	CHECK(files[0] != NULL && files[1] != NULL);
	do {
		bytes[0] = getc(files[0]);
		bytes[1] = getc(files[1]);
	} while (bytes[0] == bytes[1] && bytes[0] != EOF);
	fclose(files[0]);
	fclose(files[1]);
	return bytes[0] == bytes[1];
}

/* What visit does to each entry of a directory; how many there are. None if there is no directory.
 */
static unsigned walk(const char *directory, void (*visit)(int fd, const char *name))
{
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	unsigned count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		visit(dirfd(dir), entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	return count;
}

static void check_regular(int fd, const char *name)
{
	struct stat status;

	CHECK(fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode));
}

/* Nothing is here but what we know of. */
static void check_known(int fd, const char *name)
{
	static const char *const known[] = { "in", "out", "a", "b", "devices-a", "devices-b" };
	bool found = false;

	(void)fd;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		found |= strcmp(name, known[i]) == 0;
	CHECK(found);
}

static void check_same_in_b(int fd, const char *name)
{
	char left[600], right[600];

	(void)fd;
	snprintf(left, sizeof(left), "%s/%s", a, name);
	snprintf(right, sizeof(right), "%s/%s", b, name);
	CHECK(same_content(left, right));
}

static void remove_entry(int fd, const char *name)
{
	CHECK(unlinkat(fd, name, 0) == 0);
}

static void clean_up(void)
{
	const char *const files[] = { in, out, devices_a, devices_b };

	walk(a, remove_entry);
	walk(b, remove_entry);
	rmdir(a);
	rmdir(b);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
}

/* ---- programs ------------------------------------------------------------------------------ */

static int run(int (*program)(int argc, char **argv), unsigned options, const char *const *words)
{
	static char name[] = "program", memory[] = "--max-memory=64M", lax[] = "--lax=on",
		    json[] = "--json";
	char *argv[WORDS_MAX] = { name, memory };
	int argc = 2;

	if (options & OPTION_LAX)
		argv[argc++] = lax;
	if (options & OPTION_JSON)
		argv[argc++] = json;
	for (; *words != NULL; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	/* Have getopt begin anew. */
	optind = 0;
	int code = program(argc, argv);

	CHECK(code == 0 || code == 1);
	return code;
}

static int inspect(unsigned options, const char *file, const char *directory, const char *devices)
{
	const char *const words[] = { "--extract", directory, file,
				      options & OPTION_KEEP_GOING ? "--keep-going" : NULL, NULL };
	const char *const more[] = { "--devices", devices, "--extract", directory, file, NULL };

	return run(ramsync_inspect, options, devices != NULL ? more : words);
}

/* What is written can be read again by anybody, and holds the same. */
static void convert(unsigned options)
{
	const char *const words[] = { in, out, NULL };

	if (run(ramsync_convert, options, words) != 0) {
		CHECK(access(out, F_OK) != 0);
		return;
	}
	CHECK(inspect(options & OPTION_LAX, in, a, devices_a) == 0);
	CHECK(inspect(options & OPTION_LAX, out, b, devices_b) == 0);
	/* Pages that never came are zero from here on, where lax lets them pass. */
	unsigned before = walk(a, check_same_in_b), after = walk(b, check_regular);

	CHECK(options & OPTION_LAX ? before <= after : before == after);
	CHECK(same_content(devices_a, devices_b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	if (folder[0] == '\0')
		set_up();
	write_file(in, data + 1, bytes - 1);
	if (data[0] & OPTION_CONVERT) {
		convert(data[0]);
	} else if (inspect(data[0], in, a, NULL) != 0 && !(data[0] & OPTION_KEEP_GOING)) {
		CHECK(access(a, F_OK) != 0);
	}
	walk(a, check_regular);
	walk(folder, check_known);
	clean_up();
	return 0;
}
