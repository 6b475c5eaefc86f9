// SPDX-License-Identifier: MIT
/* umbra backtrace: what the guest's process reads off the shadow stacks, with names. */
#include "cli/cli.h"
#include "cli/client.h"

#include "base/error.h"
#include "base/parse.h"
#include "inspect/backtrace_view.h"

#include <stdio.h>
#include <string.h>

typedef struct BacktraceOptions {
	char *cpu, *limit;
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

	return cli_parse(argc, argv, entries, "TARGET",
			 "Shows a guest's call stack, read off its shadow stack.", 2, error);
}

static bool add_number(json_object *to, const char *option, const char *key, const char *text,
		       GError **error)
{
	uint64_t value;

	if (!text)
		return true;
	if (!parse_uint(option, text, 0, BACKTRACE_MAX, &value, error))
		return false;
	json_object_object_add(to, key, json_object_new_int64((int64_t)value));
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

static bool print_text(json_object *vcpus, Symbols *symbols, GError **error)
{
	for (size_t i = 0; i < json_object_array_length(vcpus); i++) {
		g_autoptr(Backtrace) backtrace =
			backtrace_from_json(json_object_array_get_idx(vcpus, i), error);

		if (!backtrace)
			return false;
		g_autofree char *text = backtrace_to_text(backtrace, symbols);

		fputs(text, stdout);
	}
	return true;
}

static bool print_json(json_object *vcpus, Symbols *symbols, GError **error)
{
	g_autoptr(json_object) all = json_object_new_object();
	json_object *named = json_object_new_array();

	json_object_object_add(all, "version", json_object_new_int(1));
	json_object_object_add(all, "vcpus", named);
	for (size_t i = 0; i < json_object_array_length(vcpus); i++) {
		g_autoptr(Backtrace) backtrace =
			backtrace_from_json(json_object_array_get_idx(vcpus, i), error);

		if (!backtrace)
			return false;
		json_object_array_add(named, backtrace_to_json(backtrace, symbols));
	}
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_NOSLASHESCAPE));
	return true;
}

static bool ask(const char *target, const BacktraceOptions *options, Symbols *symbols,
		GError **error)
{
	g_autoptr(json_object) arguments = json_object_new_object();

	if (!add_number(arguments, "--cpu", "cpu", options->cpu, error) ||
	    !add_number(arguments, "--limit", "limit", options->limit, error))
		return false;
	g_autoptr(Client) client = client_open(target, error);
	g_autoptr(json_object) answer = client ? client_execute(client, "x-umbra-backtrace",
								g_steal_pointer(&arguments), error)
					       : NULL;
	json_object *vcpus = answer ? json_object_object_get(answer, "vcpus") : NULL;

	if (!answer)
		return false;
	if (!json_object_is_type(vcpus, json_type_array))
		return umbra_fail(error, UMBRA_ERROR_INPUT, "the guest's answer is no backtrace");
	return (options->json ? print_json : print_text)(vcpus, symbols, error);
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
	return ask(argv[1], &options, symbols, &error) ? EXIT_YES : cli_error(error);
}
