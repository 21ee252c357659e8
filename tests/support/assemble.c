/* SPDX-License-Identifier: MIT */
#include "support/assemble.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct output {
	uint8_t *at;
	size_t left;
	size_t done;
};

static void put(struct output *output, const void *bytes, size_t count)
{
	assert_true(count <= output->left);
	memcpy(output->at, bytes, count);
	output->at += count;
	output->left -= count;
	output->done += count;
}

static void put_repeated(struct output *output, int byte, size_t count)
{
	assert_true(count <= output->left);
	memset(output->at, byte, count);
	output->at += count;
	output->left -= count;
	output->done += count;
}

static void put_number(struct output *output, unsigned bits, const char *digits)
{
	uint8_t bytes[8];
	char *end;
	uint64_t value = strtoull(digits, &end, 16);

	assert_true(end != digits && (*end == ' ' || *end == '\0'));
	rs_put_be64(bytes, value);
	put(output, bytes + 8 - bits / 8, bits / 8);
}

static void put_word(struct output *output, const char *word, size_t length)
{
	const char *value = memchr(word, ':', length);
	uint8_t bytes;

	assert_non_null(value);
	bytes = (uint8_t)(length - (size_t)(++value - word));
	switch (word[0]) {
	case 's':
		put(output, &bytes, 1);
		put(output, value, bytes);
		break;
	case 't':
		put(output, value, bytes);
		break;
	case 'p':
		put_repeated(output, (int)strtol(value, NULL, 16), 4096);
		break;
	case 'z':
		put_repeated(output, 0, (size_t)strtoull(value, NULL, 16));
		break;
	default:
		put_number(output, (unsigned)strtoul(word, NULL, 10), value);
	}
}

size_t assemble(uint8_t *to, size_t room, const char *text)
{
	struct output output = { to, room, 0 };

	while (*text != '\0') {
		size_t length = strcspn(text, " ");

		if (length > 0)
			put_word(&output, text, length);
		text += length + strspn(text + length, " ");
	}
	return output.done;
}
