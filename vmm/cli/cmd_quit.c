// SPDX-License-Identifier: MIT
#include "cli/cli.h"
#include "cli/client.h"

static json_object *arguments_of(bool force)
{
	json_object *arguments = json_object_new_object();

	if (force)
		json_object_object_add(arguments, "x-umbra-force", json_object_new_boolean(true));
	return arguments;
}

/* Waits, so that what comes next in a script finds the guest's name and files free. */
int cmd_quit(int argc, char **argv)
{
	gboolean force = FALSE;
	const GOptionEntry options[] = {
		{"force", 'f', 0, G_OPTION_ARG_NONE, &force,
		 "even if a guest is lost that was migrated and still needs memory of this side",
		 NULL},
		{0},
	};
	g_autoptr(GError) error = NULL;

	if (!cli_parse(&argc, &argv, options, "TARGET",
		       "Ends the guest at once, without asking it, and waits for that.", 2, &error))
		return cli_error(error);
	g_autoptr(Client) client = client_open(argv[1], &error);
	g_autoptr(json_object) done =
		client ? client_execute(client, "quit", arguments_of(force), &error) : NULL;

	if (!done || !client_wait_end(client, &error))
		return cli_error(error);
	return EXIT_YES;
}
