/* SPDX-License-Identifier: MIT */
#include "text/json.h"
#include "text/utf8.h"

#include <assert.h>
#include <inttypes.h>

static void print_string(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t bytes = utf8_printable(text);

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (bytes)
			fwrite(text, 1, bytes, out);
		else if (c < 0x80)
			fprintf(out, "\\u%04x", c);
		else
			fputs("\\ufffd", out);
		text += bytes ? bytes : 1;
	}
	fputc('"', out);
}

/* A new line, and the value's name. */
static void begin_value(struct json *json, const char *name)
{
	if (json->depth)
		fprintf(json->out, "%s\n%*s", json->begun ? "," : "", (int)(2 * json->depth), "");
	json->begun = true;
	if (!name)
		return;
	print_string(json->out, name);
	fputs(": ", json->out);
}

static void open_value(struct json *json, const char *name, char opening, char closing)
{
	begin_value(json, name);
	fputc(opening, json->out);
	assert(json->depth < JSON_DEPTH_MAX);
	json->closing[json->depth++] = closing;
	json->begun = false;
}

void json_open_object(struct json *json, const char *name)
{
	open_value(json, name, '{', '}');
}

void json_open_array(struct json *json, const char *name)
{
	open_value(json, name, '[', ']');
}

void json_close(struct json *json)
{
	char closing = json->closing[--json->depth];

	if (json->begun)
		fprintf(json->out, "\n%*s", (int)(2 * json->depth), "");
	fputc(closing, json->out);
	if (!json->depth)
		fputc('\n', json->out);
	json->begun = true;
}

void json_string(struct json *json, const char *name, const char *value)
{
	if (!value) {
		json_null(json, name);
		return;
	}
	begin_value(json, name);
	print_string(json->out, value);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
	begin_value(json, name);
	fprintf(json->out, "%" PRIu64, value);
}

void json_real(struct json *json, const char *name, double value, int decimals)
{
	begin_value(json, name);
	fprintf(json->out, "%.*f", decimals, value);
}

void json_bool(struct json *json, const char *name, bool value)
{
	begin_value(json, name);
	fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *name)
{
	begin_value(json, name);
	fputs("null", json->out);
}
