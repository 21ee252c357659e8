/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "option_table.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARAMS_MAX 64
/* getopt's answer for parameter number i. */
#define PARAM_BASE 1000
#define RUN_ON_SECONDS_MAX 1000000.0

struct parse {
	struct options *options;
	const char *option; /* the one being read, for messages */
	const char *value;
	const struct rs_param_info *param[PARAMS_MAX];
	const char *param_value[PARAMS_MAX];
	int params;
};

__attribute__((format(printf, 2, 3), noreturn)) static void refuse(const struct options *options,
								   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", options->program_name);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\nTry '%s --help'.\n", options->program_name);
	va_end(args);
	exit(EXIT_BAD_USAGE);
}

static bool read_number(const char *text, bool size, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	if (errno)
		return false;
	suffix = size && *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);

		if (*value > UINT64_MAX >> shift)
			return false;
		*value <<= shift;
		end++;
	}
	return !*end;
}

static uint64_t get_number(const struct parse *parse, bool size, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (!read_number(parse->value, size, &value) || value < min || value > max)
		refuse(parse->options, "--%s '%s' is not a %s from %ju to %ju", parse->option,
		       parse->value, size ? "size" : "number", (uintmax_t)min, (uintmax_t)max);
	return value;
}

static uint64_t get_size(const struct parse *parse)
{
	return get_number(parse, true, 0, INT64_MAX);
}

/* Index of the value in @names, which ends with NULL. */
static int get_word(const struct parse *parse, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(parse->value, names[i]))
			return i;
	refuse(parse->options, "--%s: there is no '%s'", parse->option, parse->value);
}

static double get_seconds(const struct parse *parse)
{
	char *end;
	double value = strtod(parse->value, &end);

	if (end == parse->value || *end || !isfinite(value) || value < 0 ||
	    value > RUN_ON_SECONDS_MAX)
		refuse(parse->options, "--%s '%s' is not a number of seconds from 0 to %.0f",
		       parse->option, parse->value, RUN_ON_SECONDS_MAX);
	return value;
}

static void get_region(const struct parse *parse)
{
	struct options *options = parse->options;
	struct region_option *region = &options->region[options->regions];
	const char *kind = strchr(parse->value, ':');
	const char *size = kind ? strchr(kind + 1, ':') : NULL;
	char word[16];

	if (options->regions == OPTIONS_REGIONS_MAX)
		refuse(options, "--region: at most %u", OPTIONS_REGIONS_MAX);
	if (!size || kind - parse->value >= RS_REGION_NAME_BYTES || kind == parse->value)
		refuse(options, "--region '%s' is not NAME:KIND:SIZE", parse->value);
	snprintf(word, sizeof(word), "%.*s", (int)(size - kind - 1), kind + 1);
	if (!memory_kind_parse(word, &region->kind))
		refuse(options, "--region '%s': there is no kind '%s'", parse->value, word);
	if (!read_number(size + 1, true, &region->bytes))
		refuse(options, "--region '%s': '%s' is not a size", parse->value, size + 1);
	region->name = parse->value;
	region->name_length = (int)(kind - parse->value);
	options->regions++;
}

static void read_guest_option(const struct parse *parse, enum option_id id)
{
	static const char *const logs[] = { "", "userfaultfd", "marks", "none", NULL };
	struct options *options = parse->options;

	switch (id) {
	case OPTION_MEMORY:
		options->memory_bytes = get_number(parse, true, 1u << 20, INT64_MAX);
		break;
	case OPTION_REGION:
		get_region(parse);
		break;
	case OPTION_PAGE_SIZE:
		options->page_bytes = (uint32_t)get_number(parse, true, 1024, 65536);
		break;
	case OPTION_PATTERN:
		if (!pattern_parse(parse->value, &options->pattern))
			refuse(options, "--pattern: there is no '%s'", parse->value);
		break;
	case OPTION_POPULATE:
		options->populate_bytes = get_size(parse);
		break;
	case OPTION_IMAGE:
		options->image = parse->value;
		break;
	case OPTION_WRITERS:
		options->writers = (unsigned)get_number(parse, false, 0, 1024);
		break;
	case OPTION_DIRTY_RATE:
		options->dirty_rate = get_number(parse, false, 0, 1000000000);
		break;
	case OPTION_WORKING_SET:
		options->working_set_bytes = get_number(parse, true, 4096, INT64_MAX);
		break;
	case OPTION_DIRTY_LOG:
		options->dirty_log = (enum dirty_log)get_word(parse, logs);
		break;
	case OPTION_MAX_MEMORY:
		options->max_memory_bytes = get_size(parse);
		break;
	default:
		options->prealloc = true;
	}
}

static void set_machine(struct parse *parse)
{
	for (int i = 0; i < parse->params; i++)
		if (!strcmp(parse->param[i]->name, "machine"))
			parse->param_value[i] = parse->value;
}

static void read_option(struct parse *parse, enum option_id id)
{
	static const char *const doubts[] = { "reconnect", "run", "discard", "exit", NULL };
	struct options *options = parse->options;

	switch (id) {
	case OPTION_TO:
	case OPTION_FROM:
		options->address = parse->value;
		break;
	case OPTION_QEMU:
		set_machine(parse);
		break;
	case OPTION_RUN_ON:
		options->run_on_seconds = get_seconds(parse);
		break;
	case OPTION_ON_DOUBT:
		options->on_doubt = (enum on_doubt)get_word(parse, doubts);
		break;
	case OPTION_VERIFY:
		options->verify = true;
		break;
	case OPTION_JSON:
		options->json = true;
		break;
	case OPTION_PROGRESS:
		options->progress = true;
		break;
	case OPTION_HELP:
		option_help(options->program, options->program_name);
		exit(0);
	case OPTION_VERSION:
		printf("%s %s\n", options->program_name, rs_version_text());
		exit(0);
	default:
		read_guest_option(parse, id);
	}
}

static void set_defaults(struct options *options)
{
	*options = (struct options){
		.program = options->program,
		.program_name = options->program_name,
		.populate_bytes = UINT64_MAX,
		.pattern = PATTERN_MIX,
		.writers = 1,
		.dirty_rate = 1000,
		.max_memory_bytes =
		    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
		.run_on_seconds = 1,
		.progress = isatty(STDERR_FILENO),
	};
}

/* The table and the library's parameters, as getopt_long() wants them. */
static void make_long_options(struct parse *parse, struct option *out)
{
	for (int i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_table[i];

		if (row->programs & parse->options->program)
			*out++ = (struct option){ row->name,
						  row->value ? required_argument : no_argument,
						  NULL, i };
	}
	for (const struct rs_param_info *p = rs_param_next(NULL); p; p = rs_param_next(p)) {
		if (parse->params == PARAMS_MAX)
			break;
		*out++ =
		    (struct option){ p->name, required_argument, NULL, PARAM_BASE + parse->params };
		parse->param[parse->params++] = p;
	}
	*out = (struct option){ 0 };
}

static void set_params(const struct parse *parse, struct rs_state *state)
{
	for (int i = 0; i < parse->params; i++) {
		struct rs_error error;

		if (!parse->param_value[i] ||
		    !rs_param_set(state, parse->param[i]->name, parse->param_value[i]))
			continue;
		rs_error_get(state, RS_ERROR_OF_CALL, &error);
		refuse(parse->options, "--%s: %s", parse->param[i]->name, error.text);
	}
}

static struct rs_state *create_state(const struct options *options)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = options->page_bytes };
	struct rs_state *state;
	int ret = rs_state_create(&config, &state);

	if (ret)
		refuse(options, "--page-size %u: %s", options->page_bytes, strerror(-ret));
	return state;
}

/* getopt_long() steps over a long option, but not over a short one with more letters behind it. */
__attribute__((noreturn)) static void refuse_unknown(const struct options *options, char **argv)
{
	if (optopt < OPTION_COUNT || optopt >= PARAM_BASE)
		refuse(options, "there is no option %s", argv[optind - 1]);
	refuse(options, "there is no option -%c", optopt);
}

void options_parse(struct options *options, enum program program, int argc, char **argv,
		   struct rs_state **state)
{
	struct option long_options[OPTION_COUNT + PARAMS_MAX + 1];
	struct parse parse = { .options = options };
	int id, index = 0;

	options->program = program;
	options->program_name = program == PROGRAM_SEND ? "ramsync-send" : "ramsync-recv";
	set_defaults(options);
	make_long_options(&parse, long_options);
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", long_options, &index)) != -1) {
		parse.option = long_options[index].name;
		parse.value = optarg;
		if (id == ':')
			refuse(options, "%s needs a value", argv[optind - 1]);
		else if (id == '?')
			refuse_unknown(options, argv);
		else if (id >= PARAM_BASE)
			parse.param_value[id - PARAM_BASE] = optarg;
		else
			read_option(&parse, (enum option_id)id);
	}
	if (optind < argc)
		refuse(options, "'%s' is no option", argv[optind]);
	if (!options->address)
		refuse(options, "--%s ADDRESS is missing", program == PROGRAM_SEND ? "to" : "from");
	if (options->image && options->populate_bytes != UINT64_MAX)
		refuse(options, "--image and --populate exclude each other");
	*state = create_state(options);
	set_params(&parse, *state);
}
