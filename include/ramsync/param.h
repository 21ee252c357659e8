/* SPDX-License-Identifier: MIT */
/*
 * Parameters: everything that can be tuned, as one typed table. A program builds its
 * options and its help from rs_param_next(), so a new parameter never changes the
 * ABI. Names, units, ranges and defaults are QEMU's wherever QEMU has the parameter.
 */
#ifndef RAMSYNC_PARAM_H
#define RAMSYNC_PARAM_H

#include <ramsync/state.h>

RS_BEGIN_DECLS

/**
 * enum rs_param_type - how a parameter's value is written.
 * @RS_PARAM_BOOL: "on" or "off" ("true", "yes", "1" and their opposites are read too).
 * @RS_PARAM_UINT: decimal or 0x hexadecimal; parameters in bytes take a suffix
 *	K, M, G or T (powers of 1024).
 * @RS_PARAM_STRING: any text up to 255 bytes.
 */
enum rs_param_type {
	RS_PARAM_BOOL,
	RS_PARAM_UINT,
	RS_PARAM_STRING,
};

/**
 * struct rs_param_info - a parameter's row in the table; static and constant.
 * @name: the parameter's name.
 * @type: how its value is written.
 * @unit: "bytes", "bytes/s", "ms", "pages" or "".
 * @min: smallest value, inclusive (RS_PARAM_UINT only).
 * @max: largest value, inclusive (RS_PARAM_UINT only).
 * @def: default, as text.
 * @live: non-zero if it may be changed while a migration runs and then takes effect at
 *	once.
 * @help: one sentence.
 */
struct rs_param_info {
	const char *name;
	enum rs_param_type type;
	const char *unit;
	uint64_t min;
	uint64_t max;
	const char *def;
	int live;
	const char *help;
};

/**
 * rs_param_next() - walk the table of parameters.
 * @previous: a row, or NULL for the first one.
 *
 * Return: the row after @previous; NULL after the last.
 */
RS_API const struct rs_param_info *rs_param_next(const struct rs_param_info *previous);

/**
 * rs_param_set() - change a parameter.
 * @state: the state.
 * @name: the parameter's name.
 * @value: its value, as text.
 *
 * Zero means zero: no value stands for "the default".
 *
 * Return: 0; -ENOENT if there is no such parameter; -EINVAL if @value is not of its
 *	type; -ERANGE outside its range; -EBUSY if a migration runs and the parameter is not
 *	a live one. The text (RS_ERROR_OF_CALL) names parameter and range.
 * Context: any thread; never blocks.
 */
RS_API int rs_param_set(struct rs_state *state, const char *name, const char *value);

/**
 * rs_param_get() - read a parameter.
 * @state: the state.
 * @name: the parameter's name.
 * @value: receives the text, in the form that rs_param_set() takes.
 * @value_bytes: room at @value, terminator included.
 *
 * Return: length of the text; -ENOENT if there is no such parameter; -ENOSPC if it
 *	does not fit.
 */
RS_API int rs_param_get(const struct rs_state *state, const char *name, char *value,
			size_t value_bytes);

RS_END_DECLS
#endif
