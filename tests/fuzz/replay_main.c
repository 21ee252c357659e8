/* SPDX-License-Identifier: MIT */
/*
 * Stands in for libFuzzer where there is none: runs a fuzz target over the files that are named,
 * and over those in the directories that are named. Of small files prefixes are run, too: most bugs of
 * a parser sit where the input ends. What several files have in common is run once; with --prefixes=N at
 * most so many are run, evenly spread.
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

struct input {
	uint8_t *data;
	size_t bytes;
};

static struct input *inputs;
static size_t count;

static void fail(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(1);
}

/* ---- files --------------------------------------------------------------------------------- */

static void read_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "rbe");
	struct input *more = realloc(inputs, (count + 1) * sizeof(*inputs));
	uint8_t *data = malloc(bytes + 1);

	if (!file || !more || !data)
		fail(path);
	inputs = more;
	inputs[count++] = (struct input){ data, fread(data, 1, bytes, file) };
	if (ferror(file))
		fail(path);
	fclose(file);
}

static void read_path(const char *path);

static void read_directory(const char *path)
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
		read_path(name);
		free(name);
	}
	closedir(directory);
}

static void read_path(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		fail(path);
	if (S_ISDIR(status.st_mode))
		read_directory(path);
	else
		read_file(path, (size_t)status.st_size);
}

/* ---- runs ---------------------------------------------------------------------------------- */

/* A copy of exactly that size, so that AddressSanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t bytes)
{
	uint8_t *exact = malloc(bytes + !bytes);

	if (!exact)
		fail("malloc");
	memcpy(exact, data, bytes);
	LLVMFuzzerTestOneInput(exact, bytes);
	free(exact);
}

/* By content, so that what has much in common stands together, in the same order wherever it is run. */
static int compare(const void *left, const void *right)
{
	const struct input *a = left, *b = right;
	int order = memcmp(a->data, b->data, a->bytes < b->bytes ? a->bytes : b->bytes);

	return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static size_t common_bytes(const struct input *a, const struct input *b)
{
	size_t bytes = 0;

	while (bytes < a->bytes && bytes < b->bytes && a->data[bytes] == b->data[bytes])
		bytes++;
	return bytes;
}

/* One in so many of the distinct prefixes; 0: none. Returns how many there are. */
static size_t run_prefixes(size_t step)
{
	const struct input none = { 0 }, *last = &none;
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		const struct input *input = &inputs[i];

		if (input->bytes > PREFIXES_UP_TO_BYTES)
			continue;
		/* The last one itself was run. */
		size_t first = last == &none ? 0 : common_bytes(last, input) + 1;

		for (size_t bytes = first; bytes < input->bytes; bytes++, found++)
			if (step != 0 && found % step == 0)
				run(input->data, bytes);
		last = input;
	}
	return found;
}

int main(int argc, char **argv)
{
	size_t most = SIZE_MAX;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		if (sscanf(argv[i], "--prefixes=%zu", &most) != 1)
			read_path(argv[i]);
	qsort(inputs, count, sizeof(*inputs), compare);
	for (size_t i = 0; i < count; i++)
		run(inputs[i].data, inputs[i].bytes);
	size_t prefixes = run_prefixes(0);
	size_t step = prefixes == 0 || most == 0 ? 0 : (prefixes - 1) / most + 1;

	run_prefixes(step);
	printf("%zu inputs, and %zu of their %zu prefixes\n", count,
	       step == 0 ? 0 : (prefixes - 1) / step + 1, prefixes);
	for (size_t i = 0; i < count; i++)
		free(inputs[i].data);
	free(inputs);
	/* An empty corpus is a mistake, not a success. */
	return count == 0;
}
