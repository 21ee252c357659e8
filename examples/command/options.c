/* SPDX-License-Identifier: MIT */
#include "command/options.h"
#include "command/option_table.h"
#include "command/option_value.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* getopt's answer for parameter number i of the library. */
#define PARAM_BASE 1000

static void get_region(struct options *options, const struct option_value *value)
{
	struct region_option *region = &options->region[options->regions];
	const char *kind = strchr(value->text, ':');
	const char *size = kind ? strchr(kind + 1, ':') : NULL;
	char word[16];

	if (options->regions == OPTIONS_REGIONS_MAX)
		option_refuse(value->program, "--region: at most %u", OPTIONS_REGIONS_MAX);
	if (!size || kind - value->text >= RS_REGION_NAME_BYTES || kind == value->text)
		option_refuse(value->program, "--region '%s' is not NAME:KIND:SIZE", value->text);
	snprintf(word, sizeof(word), "%.*s", (int)(size - kind - 1), kind + 1);
	if (!memory_kind_parse(word, &region->kind))
		option_refuse(value->program, "--region '%s': there is no kind '%s'", value->text,
			      word);
	if (!option_read_number(size + 1, true, &region->bytes))
		option_refuse(value->program, "--region '%s': '%s' is not a size", value->text,
			      size + 1);
	region->name = value->text;
	region->name_length = (int)(kind - value->text);
	options->regions++;
}

static void read_guest_option(struct options *options, enum option_id id,
			      const struct option_value *value)
{
	static const char *const logs[] = { "", "userfaultfd", "marks", "none", NULL };

	switch (id) {
	case OPTION_MEMORY:
		options->memory_bytes = option_size(value, 1u << 20, INT64_MAX);
		break;
	case OPTION_REGION:
		get_region(options, value);
		break;
	case OPTION_PAGE_SIZE:
		options->page_bytes = (uint32_t)option_size(value, 1024, 65536);
		break;
	case OPTION_PATTERN:
		if (!pattern_parse(value->text, &options->pattern))
			option_refuse(value->program, "--pattern: there is no '%s'", value->text);
		break;
	case OPTION_POPULATE:
		options->populate_bytes = option_size(value, 0, INT64_MAX);
		break;
	case OPTION_IMAGE:
		options->image = value->text;
		break;
	case OPTION_WRITERS:
		options->writers = (unsigned)option_number(value, 0, 1024);
		break;
	case OPTION_DIRTY_RATE:
		options->dirty_rate = option_number(value, 0, 1000000000);
		break;
	case OPTION_WORKING_SET:
		options->working_set_bytes = option_size(value, 4096, INT64_MAX);
		break;
	case OPTION_DIRTY_LOG:
		options->dirty_log = (enum dirty_log)option_word(value, logs);
		break;
	default:
		options->prealloc = true;
	}
}

/* A parameter of the library, by one of our own options. */
static void set_param(struct options *options, const char *name, const char *text)
{
	for (unsigned i = 0; i < options->params; i++)
		if (!strcmp(options->param[i].info->name, name))
			options->param[i].value = text;
}

static void get_resume(struct options *options, const struct option_value *value)
{
	if (options->resumes == OPTIONS_RESUMES_MAX)
		option_refuse(value->program, "--resume: at most %u", OPTIONS_RESUMES_MAX);
	options->resume[options->resumes++] = value->text;
}

static void read_stream_option(struct options *options, enum option_id id,
			       const struct option_value *value)
{
	switch (id) {
	case OPTION_TO:
	case OPTION_FROM:
		options->address = value->text;
		break;
	case OPTION_QEMU:
		options->qemu = true;
		break;
	case OPTION_QEMU_MACHINE:
		set_param(options, "machine", value->text);
		break;
	case OPTION_MAX_MEMORY:
		options->max_memory_bytes = option_size(value, 0, INT64_MAX);
		break;
	case OPTION_DEVICES:
		options->devices = value->text;
		break;
	case OPTION_SAVE:
	case OPTION_EXTRACT:
		options->save = value->text;
		break;
	case OPTION_ONLY_REGION:
		options->only_region = value->text;
		break;
	case OPTION_KEEP_GOING:
		options->keep_going = true;
		break;
	case OPTION_RESUME:
		get_resume(options, value);
		break;
	default:
		read_guest_option(options, id, value);
	}
}

static void read_option(struct options *options, enum option_id id,
			const struct option_value *value)
{
	static const char *const doubts[] = { "reconnect", "run", "discard", "exit", NULL };

	switch (id) {
	case OPTION_POSTCOPY_AFTER:
		options->postcopy_after = option_number(value, 0, UINT32_MAX);
		options->postcopy = true;
		break;
	case OPTION_POSTCOPY:
	case OPTION_POSTCOPY_IN:
	case OPTION_POSTCOPY_OUT:
		options->postcopy = true;
		break;
	case OPTION_PREEMPT:
		options->preempt = true;
		break;
	case OPTION_TOUCH:
		options->touch_rate = option_number(value, 0, 1000000000);
		break;
	case OPTION_RECOVER:
	case OPTION_RECOVER_OUT:
		options->recover = value->text;
		break;
	case OPTION_RUN_ON:
		options->run_on_seconds = option_seconds(value);
		break;
	case OPTION_ON_DOUBT:
		options->on_doubt = (enum on_doubt)option_word(value, doubts);
		break;
	case OPTION_VERIFY:
		options->verify = true;
		break;
	case OPTION_JSON:
	case OPTION_JSON_REPORT:
		options->json = true;
		break;
	case OPTION_PROGRESS:
		options->progress = true;
		break;
	case OPTION_HELP:
		option_help(options->program);
		exit(0);
	case OPTION_VERSION:
		printf("%s %s\n", options->program_name, rs_version_text());
		exit(0);
	default:
		read_stream_option(options, id, value);
	}
}

static void set_defaults(struct options *options, enum program program)
{
	*options = (struct options){
		.program = program,
		.program_name = option_program_name(program),
		.populate_bytes = UINT64_MAX,
		.pattern = PATTERN_MIX,
		.writers = 1,
		.dirty_rate = 1000,
		.max_memory_bytes =
		    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
		.run_on_seconds = 1,
		.postcopy_after = 1,
		.progress = isatty(STDERR_FILENO),
	};
}

/* The table and the library's parameters, as getopt_long() wants them. */
static void make_long_options(struct options *options, struct option *out)
{
	for (int i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_table[i];

		if (row->programs & options->program)
			*out++ = (struct option){ row->name,
						  row->value ? required_argument : no_argument,
						  NULL, i };
	}
	for (const struct rs_param_info *p = rs_param_next(NULL); p; p = rs_param_next(p)) {
		int id = PARAM_BASE + (int)options->params;

		if (options->params == OPTIONS_PARAMS_MAX)
			break;
		*out++ = (struct option){ p->name, required_argument, NULL, id };
		options->param[options->params++].info = p;
	}
	*out = (struct option){ 0 };
}

struct rs_state *options_create_state(const struct options *options, uint32_t page_bytes)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = page_bytes };
	struct rs_state *state;
	int ret = rs_state_create(&config, &state);

	if (ret)
		option_refuse(options->program_name, "--page-size %u: %s", page_bytes,
			      strerror(-ret));
	return state;
}

void options_set_params(const struct options *options, struct rs_state *state)
{
	for (unsigned i = 0; i < options->params; i++) {
		const struct param_option *param = &options->param[i];
		struct rs_error error;

		if (!param->value || !rs_param_set(state, param->info->name, param->value))
			continue;
		rs_error_get(state, RS_ERROR_OF_CALL, &error);
		option_refuse(options->program_name, "--%s: %s", param->info->name, error.text);
	}
}

/* A recording is written in a single pass. */
static void check_conversion(const struct options *options, const struct rs_state *state)
{
	char xbzrle[8];

	if (rs_param_get(state, "xbzrle", xbzrle, sizeof(xbzrle)) > 0 && !strcmp(xbzrle, "on"))
		option_refuse(options->program_name,
			      "--xbzrle: each page is written once only, so no delta could be made "
			      "from an older copy of it");
}

/* Page size and parameters, before anything is done. */
static void check_state(const struct options *options)
{
	struct rs_state *state = options_create_state(options, options->page_bytes);

	options_set_params(options, state);
	if (options->program == PROGRAM_CONVERT)
		check_conversion(options, state);
	rs_state_destroy(state);
}

static bool can_open_twice(const char *address)
{
	return !strncmp(address, "tcp:", 4) || !strncmp(address, "unix:", 5);
}

static void check_postcopy(const struct options *options)
{
	const char *name = options->program_name;
	const char *address = options->address ? options->address : options->output;

	if (options->output && options->postcopy && !can_open_twice(address) &&
	    strncmp(address, "fd:", 3))
		option_refuse(name, "--postcopy: %s is nothing that could answer", address);
	if (options->preempt && !options->postcopy)
		option_refuse(name, "--preempt needs --postcopy");
	if (options->recover && !options->postcopy)
		option_refuse(name, "--recover needs --postcopy");
	if (options->touch_rate && (!options->qemu || !options->postcopy))
		option_refuse(name, "--touch needs --qemu and --postcopy");
	if (options->preempt && !can_open_twice(address))
		option_refuse(name, "--preempt: %s cannot be opened twice, only tcp: and unix: can",
			      address);
	if (options->recover && !can_open_twice(options->recover))
		option_refuse(name, "--recover '%s': only tcp: and unix: will do",
			      options->recover);
}

/* What our own options mean for the library's. */
static void set_postcopy_params(struct options *options)
{
	if (options->postcopy)
		set_param(options, "postcopy-ram", "on");
	if (options->preempt)
		set_param(options, "postcopy-preempt", "on");
}

static void check_options(const struct options *options)
{
	const char *name = options->program_name;

	if (options->program == PROGRAM_SEND && !options->address)
		option_refuse(name, "--to ADDRESS is missing");
	if (options->program == PROGRAM_RECV && !options->address)
		option_refuse(name, "--from ADDRESS is missing");
	check_postcopy(options);
	if (options->image && options->populate_bytes != UINT64_MAX)
		option_refuse(name, "--image and --populate exclude each other");
	if (options->keep_going && !options->save)
		option_refuse(name, "--keep-going needs --extract");
	if (options->program != PROGRAM_RECV)
		return;
	if (options->qemu && !options->devices)
		option_refuse(name, "--qemu needs --devices FILE (/dev/null if the device state is "
				    "not wanted)");
	if (options->qemu && !options->save)
		option_refuse(name, "--qemu needs --save DIR (/dev/null if the memory is not "
				    "wanted)");
	if (!options->qemu && (options->devices || options->save))
		option_refuse(name, "--%s needs --qemu", options->devices ? "devices" : "save");
}

/* The words that are no options. */
static void take_words(struct options *options, int count, char **words)
{
	bool convert = options->program == PROGRAM_CONVERT;
	int wanted = convert ? 2 : options->program == PROGRAM_INSPECT;

	if (count > wanted)
		option_refuse(options->program_name,
			      wanted ? "'%s' is too much" : "'%s' is no option", words[wanted]);
	if (count < wanted)
		option_refuse(options->program_name, "%s is missing",
			      convert ? count ? "OUT" : "IN" : "FILE");
	options->input = count > 0 ? words[0] : NULL;
	options->output = count > 1 ? words[1] : NULL;
}

/* getopt_long() steps over a long option, but not over a short one with more letters behind it. */
__attribute__((noreturn)) static void refuse_unknown(const struct options *options, char **argv)
{
	if (optopt < OPTION_COUNT || optopt >= PARAM_BASE)
		option_refuse(options->program_name, "there is no option %s", argv[optind - 1]);
	option_refuse(options->program_name, "there is no option -%c", optopt);
}

/*
 * Where a standard file is closed the next one that is opened would take its place, and get all
 * messages written into it. These fail in use as the closed ones would.
 */
static void occupy_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void options_parse(struct options *options, enum program program, int argc, char **argv)
{
	struct option long_options[OPTION_COUNT + OPTIONS_PARAMS_MAX + 1];
	int id, index = 0;

	occupy_standard_files();
	set_defaults(options, program);
	make_long_options(options, long_options);
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", long_options, &index)) != -1) {
		struct option_value value = { options->program_name, long_options[index].name,
					      optarg };

		if (id == ':')
			option_refuse(options->program_name, "%s needs a value", argv[optind - 1]);
		else if (id == '?')
			refuse_unknown(options, argv);
		else if (id >= PARAM_BASE)
			options->param[id - PARAM_BASE].value = optarg;
		else
			read_option(options, (enum option_id)id, &value);
	}
	take_words(options, argc - optind, argv + optind);
	check_options(options);
	set_postcopy_params(options);
	check_state(options);
}
