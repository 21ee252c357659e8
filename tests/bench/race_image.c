/* SPDX-License-Identifier: MIT */
/*
 * What both contestants of the race move, and how it is known that it arrived.
 *
 *	race_image make FILE BYTES KIND			fill a file with a pattern of ramsync-send's
 *	race_image digest FILE [OFFSET BYTES]		digest as ramsync-send --verify prints it for a
 *							region "ram"; FILE may be /proc/PID/mem
 */
#include "guest/digest.h"
#include "guest/pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20)
#define REGION_NAME "ram"

static uint8_t chunk[CHUNK_BYTES] __attribute__((aligned(PATTERN_PAGE_BYTES)));

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "race_image: %s: %s\n", what, strerror(errno));
	exit(1);
}

__attribute__((noreturn)) static void usage(void)
{
	fprintf(stderr, "usage: race_image make FILE BYTES zero|text|random|mix\n"
			"       race_image digest FILE [OFFSET BYTES]\n");
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (end == text || *end != '\0')
		usage();
	return value;
}

/* A multiple of a page. */
static uint64_t page_bytes(const char *text)
{
	uint64_t value = number(text);

	if (value == 0 || value % PATTERN_PAGE_BYTES != 0)
		usage();
	return value;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Zero pages are written as well: a hole would be work for whoever maps the file. */
static void make(const char *path, uint64_t bytes, enum pattern pattern)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die(path);
	for (uint64_t at = 0; at < bytes;) {
		size_t want = least(CHUNK_BYTES, bytes - at);

		for (size_t i = 0; i < want; i += PATTERN_PAGE_BYTES)
			pattern_fill(chunk + i, pattern, (at + i) / PATTERN_PAGE_BYTES);
		for (size_t done = 0; done < want;) {
			ssize_t put = write(fd, chunk + done, want - done);

			if (put <= 0)
				die(path);
			done += (size_t)put;
		}
		at += want;
	}
	if (close(fd) != 0)
		die(path);
}

static uint64_t digest(int fd, const char *path, uint64_t offset, uint64_t bytes)
{
	uint64_t place = digest_name(REGION_NAME), sum = 0;

	for (uint64_t at = 0; at < bytes;) {
		size_t want = least(CHUNK_BYTES, bytes - at);

		for (size_t done = 0; done < want;) {
			ssize_t got =
			    pread(fd, chunk + done, want - done, (off_t)(offset + at + done));

			if (got == 0)
				errno = ENODATA;
			if (got <= 0)
				die(path);
			done += (size_t)got;
		}
		sum += digest_pages(chunk, want, place, at / DIGEST_PAGE_BYTES);
		at += want;
	}
	return sum;
}

static void print_digest(const char *path, const char *offset, const char *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0)
		die(path);
	uint64_t size = bytes != NULL ? page_bytes(bytes) : (uint64_t)status.st_size;

	if (size % PATTERN_PAGE_BYTES != 0)
		usage();
	printf("%016" PRIx64 "\n", digest(fd, path, offset != NULL ? number(offset) : 0, size));
	close(fd);
}

int main(int argc, char **argv)
{
	enum pattern pattern;

	if (argc == 5 && strcmp(argv[1], "make") == 0 && pattern_parse(argv[4], &pattern))
		make(argv[2], page_bytes(argv[3]), pattern);
	else if (argc == 3 && strcmp(argv[1], "digest") == 0)
		print_digest(argv[2], NULL, NULL);
	else if (argc == 5 && strcmp(argv[1], "digest") == 0)
		print_digest(argv[2], argv[3], argv[4]);
	else
		usage();
	return 0;
}
