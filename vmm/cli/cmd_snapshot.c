// SPDX-License-Identifier: MIT
/* umbra snapshot: starts the job in the guest's process and shows how far it is. */
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/follow.h"

#include <stdio.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)

static const FollowedJob snapshot = {
	.event = "X_UMBRA_SNAPSHOT",
	.cancel = "x-umbra-snapshot-cancel",
};

static void report(const char *file, json_object *event)
{
	json_object *stopped = json_object_object_get(event, "stopped_us");
	static const struct {
		const char *name;
		const char *words;
	} stages[] = {
		{"pause", "to stop its processors"},
		{"state", "for their state"},
		{"log", "to begin the log of what it writes from now on"},
		{"ram", "for RAM"},
	};

	printf("%s: %.1f MiB of RAM stored\n", file, (double)follow_number(event, "stored") / MIB);
	printf("the guest stood still for %.1f ms:",
	       (double)follow_number(stopped, "total") / 1000);
	for (size_t i = 0; i < G_N_ELEMENTS(stages); i++)
		printf("%s %.1f %s", i ? "," : "",
		       (double)follow_number(stopped, stages[i].name) / 1000, stages[i].words);
	printf("\nall was on disk %.1f ms later\n", (double)follow_number(event, "sync_us") / 1000);
}

static bool start(Client *client, const char *file, const char *since, bool no_track,
		  GError **error)
{
	json_object *arguments = json_object_new_object();
	g_autofree char *path = cli_absolute_path(file);

	json_object_object_add(arguments, "path", json_object_new_string(path));
	if (since) {
		g_autofree char *parent = cli_absolute_path(since);

		json_object_object_add(arguments, "since", json_object_new_string(parent));
	}
	json_object_object_add(arguments, "no-track", json_object_new_boolean(no_track));
	g_autoptr(json_object) done = client_execute(client, "x-umbra-snapshot", arguments, error);

	return done != NULL;
}

static int finish(Client *client, const char *file, int interrupt_fd, bool quiet, GError **error)
{
	g_autoptr(json_object) last = follow_job(client, &snapshot, interrupt_fd, !quiet, error);

	if (!last) {
		g_prefix_error(error, "it is not known whether %s is complete: ", file);
		return EXIT_TROUBLE;
	}
	if (strcmp(follow_text(last, "status"), "cancelled") == 0)
		return cli_trouble("%s was not written: the snapshot was cancelled", file);
	if (strcmp(follow_text(last, "status"), "completed") != 0)
		return cli_trouble("%s", follow_text(last, "error"));
	if (!quiet)
		report(file, last);
	return EXIT_YES;
}

int cmd_snapshot(int argc, char **argv)
{
	g_autofree char *since = NULL;
	gboolean no_track = FALSE, quiet = FALSE;
	const GOptionEntry options[] = {
		{"since", 's', 0, G_OPTION_ARG_FILENAME, &since,
		 "only what changed since this snapshot, the last one taken of the guest", "FILE"},
		{"no-track", 0, 0, G_OPTION_ARG_NONE, &no_track,
		 "do not note from now on what the guest writes", NULL},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "print errors only", NULL},
		{0},
	};
	g_autoptr(GError) error = NULL;

	if (!cli_parse(&argc, &argv, options, "TARGET FILE",
		       "Stores a guest in a file, from which `umbra restore` lets it go on.", 3,
		       &error))
		return cli_error(error);
	g_autoptr(Client) client = client_open(argv[1], &error);

	int interrupt_fd = client ? follow_interrupt() : -1;

	if (!client || !start(client, argv[2], since, no_track, &error))
		return cli_error(error);
	int status = finish(client, argv[2], interrupt_fd, quiet, &error);

	return error ? cli_error(error) : status;
}
