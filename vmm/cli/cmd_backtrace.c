// SPDX-License-Identifier: MIT
/*
 * umbra backtrace: what is on the shadow stacks, with names. Of a running guest its
 * process reads them, of a snapshot this one.
 */
#include "cli/cli.h"
#include "cli/target.h"
#include "cli/terminal.h"

#include "base/error.h"
#include "base/parse.h"
#include "inspect/backtrace_view.h"
#include "mem/stack_walk.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 1024

typedef struct BacktraceOptions {
	char *cpu, *limit;
	bool one; /* vCPU, the one of this number */
	unsigned id, max;
	char **symbols;
	gboolean json;
} BacktraceOptions;

static void backtrace_options_finish(BacktraceOptions *options)
{
	g_free(options->cpu);
	g_free(options->limit);
	g_strfreev(options->symbols);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BacktraceOptions, backtrace_options_finish)

static bool parse(BacktraceOptions *options, int *argc, char ***argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"cpu", 0, 0, G_OPTION_ARG_STRING, &options->cpu, "only this vCPU", "N"},
		{"limit", 0, 0, G_OPTION_ARG_STRING, &options->limit,
		 "at most so many entries for each (default 1024)", "N"},
		{"symbols", 's', 0, G_OPTION_ARG_FILENAME_ARRAY, &options->symbols,
		 "names from a System.map, an ELF file or a perf map; may be repeated",
		 "FILE[,base=ADDRESS]"},
		{"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "for programs", NULL},
		{0},
	};

	uint64_t id = 0, max = LIMIT_DEFAULT;

	if (!cli_parse(argc, argv, entries, "TARGET",
		       "Shows a guest's call stack, read off its shadow stack.", 2, error))
		return false;
	if (options->cpu && !parse_uint("--cpu", options->cpu, 0, UINT16_MAX, &id, error))
		return false;
	if (options->limit && !parse_uint("--limit", options->limit, 1, BACKTRACE_MAX, &max, error))
		return false;
	options->one = options->cpu;
	options->id = (unsigned)id;
	options->max = (unsigned)max;
	return true;
}

/* FILE[,base=ADDRESS]: a file whose name holds ",base=" must be given with a base. */
static bool add_symbols(Symbols *symbols, const char *word, GError **error)
{
	const char *base_text = g_strrstr(word, ",base=");
	g_autofree char *path =
		base_text ? g_strndup(word, (size_t)(base_text - word)) : g_strdup(word);
	uint64_t base = 0;

	if (base_text && !parse_uint("--symbols: base", base_text + strlen(",base="), 0, UINT64_MAX,
				     &base, error))
		return false;
	return symbols_add_file(symbols, path, base, error);
}

static void print_text(const GPtrArray *backtraces, Symbols *symbols)
{
	for (guint i = 0; i < backtraces->len; i++) {
		g_autofree char *text = backtrace_to_text(backtraces->pdata[i], symbols);

		fputs(text, stdout);
	}
}

static void print_json(const GPtrArray *backtraces, const char *source, Symbols *symbols)
{
	g_autoptr(json_object) all = json_object_new_object();
	json_object *vcpus = json_object_new_array();

	json_object_object_add(all, "version", json_object_new_int(1));
	json_object_object_add(all, "source", json_object_new_string(source));
	json_object_object_add(all, "vcpus", vcpus);
	for (guint i = 0; i < backtraces->len; i++)
		json_object_array_add(vcpus, backtrace_to_json(backtraces->pdata[i], symbols));
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_NOSLASHESCAPE));
}

static bool read_answer(json_object *answer, GPtrArray *backtraces, GError **error)
{
	json_object *vcpus = json_object_object_get(answer, "vcpus");

	if (!json_object_is_type(vcpus, json_type_array))
		return umbra_fail(error, UMBRA_ERROR_INPUT, "the guest's answer is no backtrace");
	for (size_t i = 0; i < json_object_array_length(vcpus); i++) {
		Backtrace *backtrace =
			backtrace_from_json(json_object_array_get_idx(vcpus, i), error);

		if (!backtrace)
			return false;
		g_ptr_array_add(backtraces, backtrace);
	}
	return true;
}

static bool ask_guest(Client *client, const BacktraceOptions *options, GPtrArray *backtraces,
		      GError **error)
{
	json_object *arguments = json_object_new_object();

	if (options->one)
		json_object_object_add(arguments, "cpu", json_object_new_int64(options->id));
	json_object_object_add(arguments, "limit", json_object_new_int64(options->max));
	g_autoptr(json_object) answer =
		client_execute(client, "x-umbra-backtrace", arguments, error);

	return answer && read_answer(answer, backtraces, error);
}

static bool walk_snapshot(const Target *target, const BacktraceOptions *options,
			  GPtrArray *backtraces, GError **error)
{
	const MachineState *state = snapshot_state(target->snapshot);
	unsigned n = state->vcpus->len;

	if (options->one && options->id >= n)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "there is no vCPU %u: 0 to %u",
				  options->id, n - 1);
	g_autofree char *lost = target_lost_text(target, NULL);
	g_autoptr(GuestMemory) memory = target_memory(target, error);

	if (!memory)
		return false;
	terminal_on_lost_memory(lost, EXIT_TROUBLE);
	for (unsigned id = 0; id < n; id++) {
		VcpuView view;

		if (options->one && id != options->id)
			continue;
		vcpu_view_of_state(state, id, &view);
		g_ptr_array_add(backtraces, stack_walk(memory, &view, options->max));
	}
	return snapshot_still_whole(target->snapshot, error);
}

static void destroy(void *backtrace)
{
	backtrace_destroy(backtrace);
}

static bool show(const char *name, const BacktraceOptions *options, Symbols *symbols,
		 GError **error)
{
	g_autoptr(GPtrArray) backtraces = g_ptr_array_new_with_free_func(destroy);
	g_auto(Target) target = {0};

	if (!target_open(name, &target, error))
		return false;
	if (target.client ? !ask_guest(target.client, options, backtraces, error)
			  : !walk_snapshot(&target, options, backtraces, error))
		return false;
	if (options->json)
		print_json(backtraces, target_source(&target), symbols);
	else
		print_text(backtraces, symbols);
	return true;
}

int cmd_backtrace(int argc, char **argv)
{
	g_auto(BacktraceOptions) options = {0};
	g_autoptr(Symbols) symbols = symbols_create();
	g_autoptr(GError) error = NULL;

	if (!parse(&options, &argc, &argv, &error))
		return cli_error(error);
	for (char **word = options.symbols; word && *word; word++)
		if (!add_symbols(symbols, *word, &error))
			return cli_error(error);
	return show(argv[1], &options, symbols, &error) ? cli_answered("backtrace", EXIT_YES)
							: cli_error(error);
}
