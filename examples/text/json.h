/* SPDX-License-Identifier: MIT */
/*
 * Printing JSON: values in the order in which they come, each on a line of its own.
 *
 * Every value has a name inside an object, and NULL for a name inside an array or at the top.
 */
#ifndef EXAMPLES_JSON_H
#define EXAMPLES_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 8u

struct json {
	FILE *out;
	unsigned depth;
	bool begun; /* the innermost object or array has a value already */
	char closing[JSON_DEPTH_MAX];
};

/* Everything that is opened must be closed; json_close() of the outermost ends the line. */
void json_open_object(struct json *json, const char *name);
void json_open_array(struct json *json, const char *name);
void json_close(struct json *json);

/* A string of any bytes: what is no UTF-8 becomes U+FFFD. NULL becomes null. */
void json_string(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, uint64_t value);
void json_real(struct json *json, const char *name, double value, int decimals);
void json_bool(struct json *json, const char *name, bool value);
void json_null(struct json *json, const char *name);

#endif
