// SPDX-License-Identifier: MIT
#include "cli/cli.h"

#include "base/error.h"

#include <stdio.h>

static void G_GNUC_PRINTF(1, 0) say(const char *format, va_list args)
{
	g_autofree char *message = g_strdup_vprintf(format, args);

	/* One line, whatever a file's name or a peer's text held. */
	for (char *at = message; *at; at++)
		if (g_ascii_iscntrl(*at))
			*at = ' ';
	fprintf(stderr, "umbra: %s\n", message);
}

int cli_trouble(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	return EXIT_TROUBLE;
}

void cli_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

int cli_error(const GError *error)
{
	cli_trouble("%s", error->message);
	return g_error_matches(error, UMBRA_ERROR, UMBRA_ERROR_INCOMPATIBLE) ? EXIT_NO
									     : EXIT_TROUBLE;
}

int cli_answered(const char *command, int status)
{
	/* What did not fit into stdio's buffer may have failed before. */
	bool done = fflush(stdout) == 0 && !ferror(stdout);

	return done ? status
		    : cli_trouble("%s: cannot write the answer to standard output", command);
}

char *cli_absolute_path(const char *path)
{
	g_autofree char *here = g_get_current_dir();

	return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(here, path, NULL);
}

bool cli_parse(int *argc, char ***argv, const GOptionEntry *options, const char *usage,
	       const char *description, int positional, GError **error)
{
	g_autoptr(GOptionContext) context = g_option_context_new(*usage ? usage : NULL);
	const char *command = (*argv)[0];
	g_autofree char *title = g_strdup_printf("umbra %s", command);
	g_autofree char *summary = g_strdup_printf("%s\n\nUsage details: man umbra", description);

	g_set_prgname(title);
	g_option_context_set_summary(context, summary);
	g_option_context_add_main_entries(context, options, NULL);
	g_option_context_set_strict_posix(context, false);
	g_autoptr(GError) failed = NULL;

	if (!g_option_context_parse(context, argc, argv, &failed))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: %s (see umbra %s --help)", command,
				  failed->message, command);
	if (positional < 0 ? *argc < -positional : *argc != positional) {
		bool many = positional > 0 && *argc > positional;

		return umbra_fail(
			error, UMBRA_ERROR_USAGE, "%s: %s%s; usage: umbra %s %s%s[OPTION…]",
			command, many ? "unexpected argument " : "an argument is missing",
			many ? (*argv)[positional] : "", command, usage, *usage ? " " : "");
	}
	return true;
}
