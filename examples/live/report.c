/* SPDX-License-Identifier: MIT */
#include "live/report.h"
#include "text/json.h"
#include "text/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *report_result_name(enum exit_code code)
{
	switch (code) {
	case EXIT_HANDED_OVER:
		return "completed";
	case EXIT_CORRUPT:
		return "corrupt";
	case EXIT_CANCELLED:
		return "cancelled";
	case EXIT_IN_DOUBT:
		return "in-doubt";
	case EXIT_PAUSED:
		return "paused";
	default:
		return "failed";
	}
}

static struct rs_stats get_stats(const struct rs_state *state)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	rs_stats_get(state, &stats);
	return stats;
}

static void print_send_progress(const struct rs_stats *stats)
{
	double left = stats->total ? (double)stats->remaining / (double)stats->total : 1;

	fprintf(stderr,
		"%3.0f %%  round %" PRIu64 "  %.0f Mbit/s  dirty %" PRIu64
		" pages/s  expected downtime %" PRIu64 " ms",
		100 * (1 - left), stats->dirty_sync_count, stats->mbps, stats->dirty_pages_rate,
		stats->expected_downtime_ms);
}

static void print_recv_progress(const struct rs_stats *stats)
{
	fprintf(stderr, "%" PRIu64 " MiB received  %.0f Mbit/s", stats->wire_bytes >> 20,
		stats->mbps);
}

void report_progress(const struct options *options, const struct rs_state *state, bool last)
{
	struct rs_stats stats;
	bool terminal = isatty(STDERR_FILENO);

	if (!options->progress)
		return;
	stats = get_stats(state);
	if (!terminal)
		fprintf(stderr, "%s: ", options->program_name);
	if (rs_migrate_status(state) >= RS_STATUS_POSTCOPY_ACTIVE)
		fprintf(stderr, "%s  ", rs_status_name(rs_migrate_status(state)));
	if (options->program == PROGRAM_SEND)
		print_send_progress(&stats);
	else
		print_recv_progress(&stats);
	/* A terminal has one line, which the next one replaces: erase what is left of a longer one.
	 */
	fprintf(stderr, "%s%s", terminal ? "\033[K\r" : "", terminal && !last ? "" : "\n");
}

static void print_json_stats(struct json *json, const struct rs_stats *stats)
{
	json_open_object(json, "statistics");
	for (const struct rs_stat_info *s = rs_stat_next(NULL); s; s = rs_stat_next(s)) {
		const uint8_t *field = (const uint8_t *)stats + s->offset;
		uint64_t number;
		double fraction;

		/* A later library's. */
		if (s->offset + sizeof(number) > sizeof(*stats))
			continue;
		memcpy(&number, field, sizeof(number));
		memcpy(&fraction, field, sizeof(fraction));
		if (s->is_double)
			json_real(json, s->name, fraction, 3);
		else
			json_number(json, s->name, number);
	}
	json_close(json);
}

static struct rs_postcopy_latency get_latency(const struct rs_state *state)
{
	struct rs_postcopy_latency latency = { .size = sizeof(latency) };

	rs_postcopy_latency_get(state, &latency);
	return latency;
}

static void print_json_latency(struct json *json, const struct rs_state *state)
{
	struct rs_postcopy_latency latency = get_latency(state);

	json_open_object(json, "postcopy-faults");
	json_number(json, "count", latency.faults);
	json_number(json, "mean-ns", latency.mean_ns);
	json_number(json, "max-ns", latency.max_ns);
	json_number(json, "all-blocked-ns", latency.all_blocked_ns);
	json_open_array(json, "distribution");
	for (unsigned i = 0; i < RS_POSTCOPY_LATENCY_BUCKETS; i++)
		json_number(json, NULL, latency.distribution[i]);
	json_close(json);
	json_close(json);
}

static void print_json(const struct options *options, const struct guest *guest,
		       const struct result *result)
{
	const struct writers *writers = guest->writers;
	struct rs_stats stats = get_stats(guest->state);
	struct json json = { .out = stdout };
	char digest[17];

	json_open_object(&json, NULL);
	json_string(&json, "program", options->program_name);
	json_string(&json, "version", rs_version_text());
	json_string(&json, "result", report_result_name(result->code));
	json_number(&json, "exit-code", result->code);
	json_string(&json, "status", rs_status_name(rs_migrate_status(guest->state)));
	json_string(&json, "error", result->error.text);
	json_real(&json, "seconds", result->ended - result->began, 6);
	json_real(&json, "began-at", result->began, 6);
	json_real(&json, "ended-at", result->ended, 6);
	json_real(&json, "cpu-seconds", result->cpu_seconds, 6);
	snprintf(digest, sizeof(digest), "%016" PRIx64, result->digest);
	if (result->has_digest)
		json_string(&json, "digest", digest);
	json_number(&json, "memory", guest->memory.bytes);
	json_number(&json, "writers", writers ? writers_config(writers)->count : 0);
	json_number(&json, "pages-written", writers ? writers_written(writers) : 0);
	print_json_stats(&json, &stats);
	if (options->program == PROGRAM_RECV)
		print_json_latency(&json, guest->state);
	json_close(&json);
}

/* Where the downtime went, and what the guest paid before. */
static void print_downtime(const struct rs_stats *stats)
{
	printf("downtime: %.3f to stop, %.3f last sync, %.3f last pages, %.3f devices, "
	       "%.3f hand-over; before, up to %.3f ms in the dirty log, and %.3f waiting for it\n",
	       (double)stats->stop_ns / 1e6, (double)stats->final_sync_ns / 1e6,
	       (double)stats->last_ram_ns / 1e6, (double)stats->device_ns / 1e6,
	       (double)stats->handover_ns / 1e6, (double)stats->dirty_log_ns / 1e6,
	       (double)stats->guest_stall_ns / 1e6);
}

static void print_postcopy(const struct options *options, const struct guest *guest,
			   const struct rs_stats *stats)
{
	struct rs_postcopy_latency latency = get_latency(guest->state);

	if (options->program == PROGRAM_SEND) {
		printf("postcopy: %" PRIu64 " requests\n", stats->postcopy_requests);
		return;
	}
	printf("postcopy: %" PRIu64 " faults and %" PRIu64
	       " requests; a page was waited for %.3f ms on average, and up to %.3f ms\n",
	       latency.faults, stats->postcopy_requests, (double)latency.mean_ns / 1e6,
	       (double)latency.max_ns / 1e6);
}

static void print_text(const struct options *options, const struct guest *guest,
		       const struct result *result)
{
	struct rs_stats stats = get_stats(guest->state);

	printf("%s after %.3f s: %" PRIu64 " MiB of memory, %.1f MiB on the wire, %.0f Mbit/s",
	       report_result_name(result->code), result->ended - result->began,
	       guest->memory.bytes >> 20, (double)stats.wire_bytes / (1 << 20), stats.mbps);
	if (options->program == PROGRAM_SEND)
		printf(", %" PRIu64 " rounds, downtime %.3f ms", stats.dirty_sync_count,
		       (double)stats.downtime_ns / 1e6);
	printf("\n");
	if (options->program == PROGRAM_SEND && stats.downtime_ns > 0)
		print_downtime(&stats);
	else if (stats.resume_ns > 0)
		printf("resumed in %.3f ms\n", (double)stats.resume_ns / 1e6);
	if (options->postcopy)
		print_postcopy(options, guest, &stats);
	if (guest->writers)
		printf("%u writers, %" PRIu64 " pages written and verified\n",
		       writers_config(guest->writers)->count, writers_written(guest->writers));
	if (result->has_digest)
		printf("digest %016" PRIx64 "\n", result->digest);
}

void report_result(const struct options *options, const struct guest *guest,
		   const struct result *result)
{
	if (result->code != EXIT_HANDED_OVER)
		utf8_report(options->program_name, report_result_name(result->code),
			    result->error.text);
	if (options->json)
		print_json(options, guest, result);
	else
		print_text(options, guest, result);
	fflush(stdout);
}
