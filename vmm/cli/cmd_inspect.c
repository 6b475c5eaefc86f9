// SPDX-License-Identifier: MIT
/* umbra inspect: the CET state of a guest or a snapshot, once or as it changes. */
#include "cli/cli.h"
#include "cli/target.h"

#include "base/error.h"
#include "base/parse.h"
#include "inspect/vcpu_json.h"
#include "inspect/vcpu_text.h"

#include <stdio.h>
#include <unistd.h>

/* From the cursor to the upper left, and clear what is below it. */
#define TERMINAL_CLEAR	  "\033[H\033[J"

#define WATCH_SECONDS_MAX 86400

typedef struct InspectOptions {
	char *cpu;
	gboolean json;
	char *watch_text;
	double watch; /* seconds; 0: once */
} InspectOptions;

static bool parse_watch(const char *text, double *ret_seconds, GError **error)
{
	char *end = NULL;

	*ret_seconds = g_ascii_strtod(text, &end);
	return (end != text && *end == '\0' && *ret_seconds > 0 &&
		*ret_seconds <= WATCH_SECONDS_MAX) ||
	       umbra_fail(error, UMBRA_ERROR_USAGE,
			  "--watch: give seconds up to %d, such as 1 or 0.2", WATCH_SECONDS_MAX);
}

static bool options_parse(InspectOptions *options, int *argc, char ***argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"cpu", 0, 0, G_OPTION_ARG_STRING, &options->cpu, "only this vCPU", "N"},
		{"json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "for programs", NULL},
		{"watch", 'w', 0, G_OPTION_ARG_STRING, &options->watch_text,
		 "again and again, with what changed", "SECONDS"},
		{0},
	};

	if (!cli_parse(argc, argv, entries, "TARGET",
		       "Shows the CET registers of a guest's vCPUs and what they mean.", 2, error))
		return false;
	return !options->watch_text || parse_watch(options->watch_text, &options->watch, error);
}

/* The vCPU that was asked for; *ret_one is false if that is all of them. */
static bool which_cpu(const InspectOptions *options, unsigned *ret_id, bool *ret_one,
		      GError **error)
{
	uint64_t cpu = 0;

	*ret_one = options->cpu != NULL;
	if (options->cpu && !parse_uint("--cpu", options->cpu, 0, UINT16_MAX, &cpu, error))
		return false;
	*ret_id = (unsigned)cpu;
	return true;
}

static json_object *ask_guest(Client *client, const InspectOptions *options, GError **error)
{
	g_autoptr(json_object) arguments = json_object_new_object();
	unsigned id;
	bool one;

	if (!which_cpu(options, &id, &one, error))
		return NULL;
	if (one)
		json_object_object_add(arguments, "cpu", json_object_new_int64(id));
	return client_execute(client, "x-umbra-inspect", g_steal_pointer(&arguments), error);
}

/* The same answer, from a file. */
static json_object *ask_snapshot(const Snapshot *snapshot, const InspectOptions *options,
				 GError **error)
{
	g_autoptr(GArray) views = g_array_new(FALSE, FALSE, sizeof(VcpuView));
	const MachineState *state = snapshot_state(snapshot);
	unsigned first, n = state->vcpus->len;
	bool one;

	if (!which_cpu(options, &first, &one, error))
		return NULL;
	if (one && first >= n) {
		umbra_fail(error, UMBRA_ERROR_USAGE, "there is no vCPU %u: 0 to %u", first, n - 1);
		return NULL;
	}
	for (unsigned id = first; id < (one ? first + 1 : n); id++) {
		VcpuView view;

		vcpu_view_of_state(state, id, &view);
		g_array_append_val(views, view);
	}
	json_object *answer = vcpu_views_to_json(views, "snapshot");

	if (state->kernel)
		json_object_object_add(answer, "kernel", json_object_new_string(state->kernel));
	return answer;
}

static json_object *ask(const Target *target, const InspectOptions *options, GError **error)
{
	return target->client ? ask_guest(target->client, options, error)
			      : ask_snapshot(target->snapshot, options, error);
}

/* The views of an answer, of VcpuView. */
static GArray *read_views(json_object *answer, GError **error)
{
	g_autoptr(GArray) views = g_array_new(FALSE, FALSE, sizeof(VcpuView));
	json_object *vcpus = json_object_object_get(answer, "vcpus");

	if (!json_object_is_type(vcpus, json_type_array)) {
		umbra_fail(error, UMBRA_ERROR_INPUT, "the guest's answer has no vCPUs");
		return NULL;
	}
	for (size_t i = 0; i < json_object_array_length(vcpus); i++) {
		VcpuView view;

		if (!vcpu_view_from_json(json_object_array_get_idx(vcpus, i), &view, error))
			return NULL;
		g_array_append_val(views, view);
	}
	return g_steal_pointer(&views);
}

/* The guest stood still for this; a person who measures it must know. */
static void print_cost(json_object *answer)
{
	json_object *stopped = json_object_object_get(answer, "stopped_us");
	json_object *kernel = json_object_object_get(answer, "kernel");
	const char *source = json_object_get_string(json_object_object_get(answer, "source"));

	if (g_strcmp0(source, "snapshot") == 0)
		printf("Taken on Linux %s.\n", kernel ? json_object_get_string(kernel) : "?");
	else if (stopped)
		printf("The guest stood still for %ld µs.\n", json_object_get_int64(stopped));
	else
		printf("The guest is paused.\n");
}

static const VcpuView *same_vcpu(const GArray *before, guint i)
{
	return before && i < before->len ? &g_array_index(before, VcpuView, i) : NULL;
}

static void print_all(json_object *answer, const GArray *views, const GArray *before)
{
	for (guint i = 0; i < views->len; i++) {
		g_autofree char *text =
			vcpu_view_to_text(&g_array_index(views, VcpuView, i), same_vcpu(before, i));

		printf("%s%s", i ? "\n" : "", text);
	}
	print_cost(answer);
}

/* A log: each line begins with the time of day. */
static void print_changes(const GArray *views, const GArray *before)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *time = g_date_time_format(now, "%H:%M:%S.%f");

	for (guint i = 0; i < views->len && i < before->len; i++) {
		g_autofree char *text = vcpu_view_changes(&g_array_index(views, VcpuView, i),
							  &g_array_index(before, VcpuView, i));
		g_auto(GStrv) lines = g_strsplit(text, "\n", 0);

		for (char **line = lines; *line && **line; line++)
			printf("%s  %s\n", time, *line);
	}
}

static void print_json(json_object *answer, int style)
{
	puts(json_object_to_json_string_ext(answer, style | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/*
 * On a terminal the picture is drawn anew, with marks; elsewhere the first one is
 * followed by a log of changes. As JSON each answer is one line.
 */
static void print_again(const InspectOptions *options, json_object *answer, const GArray *views,
			const GArray *before)
{
	if (options->json) {
		print_json(answer, JSON_C_TO_STRING_PLAIN);
	} else if (isatty(STDOUT_FILENO)) {
		fputs(TERMINAL_CLEAR, stdout);
		print_all(answer, views, before);
	} else if (before) {
		print_changes(views, before);
	} else {
		print_all(answer, views, NULL);
	}
	fflush(stdout);
}

/* Until the guest ends, or the user has seen enough. */
static bool watch(const Target *target, const InspectOptions *options, GError **error)
{
	g_autoptr(GArray) before = NULL;

	for (;;) {
		g_autoptr(json_object) answer = ask(target, options, error);
		GArray *views = answer ? read_views(answer, error) : NULL;

		if (!views)
			return false;
		print_again(options, answer, views, before);
		g_clear_pointer(&before, g_array_unref);
		before = views;
		if (ferror(stdout))
			return true; /* nobody looks any more */
		g_usleep((gulong)(options->watch * G_USEC_PER_SEC));
	}
}

static bool once(const Target *target, const InspectOptions *options, GError **error)
{
	g_autoptr(json_object) answer = ask(target, options, error);
	g_autoptr(GArray) views = answer ? read_views(answer, error) : NULL;

	if (!views)
		return false;
	if (options->json)
		print_json(answer, JSON_C_TO_STRING_PRETTY);
	else
		print_all(answer, views, NULL);
	return true;
}

int cmd_inspect(int argc, char **argv)
{
	InspectOptions options = {0};
	g_autoptr(GError) error = NULL;
	g_auto(Target) target = {0};
	bool done = options_parse(&options, &argc, &argv, &error) &&
		    target_open(argv[1], &target, &error);

	if (done && options.watch > 0 && target.snapshot)
		done = umbra_fail(&error, UMBRA_ERROR_USAGE,
				  "--watch: %s is a snapshot, and does not change", argv[1]);
	if (done)
		done = (options.watch > 0 ? watch : once)(&target, &options, &error);
	g_free(options.cpu);
	g_free(options.watch_text);
	return done ? cli_answered("inspect", EXIT_YES) : cli_error(error);
}
