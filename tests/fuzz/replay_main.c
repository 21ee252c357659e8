/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libFuzzer where there is none: runs a fuzz target over the files that are named,
 * and over those in the directories that are named. Of a small file every prefix is run, too: most
 * bugs of a parser sit where the input ends.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIXES_UP_TO_BYTES 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static unsigned long inputs;

static void fail(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(1);
}

/* A copy of exactly that size, so that AddressSanitizer sees a read past the end. */
static void run_input(const uint8_t *data, size_t bytes)
{
	uint8_t *exact = malloc(bytes + !bytes);

	if (!exact)
		fail("malloc");
	memcpy(exact, data, bytes);
	LLVMFuzzerTestOneInput(exact, bytes);
	free(exact);
	inputs++;
}

static void run_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "rbe");
	uint8_t *data = malloc(bytes + 1);

	if (!file || !data)
		fail(path);
	bytes = fread(data, 1, bytes, file);
	if (ferror(file))
		fail(path);
	fclose(file);
	run_input(data, bytes);
	for (size_t prefix = 0; bytes <= PREFIXES_UP_TO_BYTES && prefix < bytes; prefix++)
		run_input(data, prefix);
	free(data);
}

static void run_path(const char *path);

static void run_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		fail(path);
	while ((entry = readdir(directory)) != NULL) {
		char *name;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&name, "%s/%s", path, entry->d_name) < 0)
			fail(path);
		run_path(name);
		free(name);
	}
	closedir(directory);
}

static void run_path(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		fail(path);
	if (S_ISDIR(status.st_mode))
		run_directory(path);
	else
		run_file(path, (size_t)status.st_size);
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%lu inputs\n", inputs);
	/* An empty corpus is a mistake, not a success. */
	return inputs == 0;
}
