/* SPDX-License-Identifier: MIT */
/* Values on command lines. A wrong one ends the program with a message that names the option. */
#ifndef EXAMPLES_OPTION_VALUE_H
#define EXAMPLES_OPTION_VALUE_H

#include <stdbool.h>
#include <stdint.h>

struct option_value {
	const char *program;
	const char *option;
	const char *text;
};

/* Print a sentence and where to read more, and end with EXIT_BAD_USAGE. */
__attribute__((format(printf, 2, 3), noreturn)) void option_refuse(const char *program,
								   const char *format, ...);

/* A number; a size may end in K, M, G or T. False if @text is neither. */
bool option_read_number(const char *text, bool size, uint64_t *value);

uint64_t option_number(const struct option_value *value, uint64_t min, uint64_t max);
uint64_t option_size(const struct option_value *value, uint64_t min, uint64_t max);
double option_seconds(const struct option_value *value);

/* Index of the value in @names, which ends with NULL. */
int option_word(const struct option_value *value, const char *const *names);

#endif
