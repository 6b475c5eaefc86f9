// SPDX-License-Identifier: MIT
/*
 * umbra snapshot: starts the job in the guest's process and shows how far it is. The job
 * is the guest's: Ctrl-C cancels it, any other end of this process does not.
 */
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENT "X_UMBRA_SNAPSHOT"
#define MIB   (1024.0 * 1024.0)

/* The guest's process has a working directory of its own. */
static char *make_absolute(const char *path)
{
	g_autofree char *here = g_get_current_dir();

	return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(here, path, NULL);
}

static int64_t number(json_object *object, const char *name)
{
	return json_object_get_int64(json_object_object_get(object, name));
}

static const char *text(json_object *object, const char *name)
{
	const char *value = json_object_get_string(json_object_object_get(object, name));

	return value ? value : "";
}

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

	printf("%s: %.1f MiB of RAM stored\n", file, (double)number(event, "stored") / MIB);
	printf("the guest stood still for %.1f ms:", (double)number(stopped, "total") / 1000);
	for (size_t i = 0; i < G_N_ELEMENTS(stages); i++)
		printf("%s %.1f %s", i ? "," : "", (double)number(stopped, stages[i].name) / 1000,
		       stages[i].words);
	printf("\nall was on disk %.1f ms later\n", (double)number(event, "sync_us") / 1000);
}

/* Ctrl-C, once: a second one ends this process, and the job goes on. */
static void cancel(Client *client, int interrupt_fd)
{
	struct signalfd_siginfo taken;
	sigset_t interrupt;

	/* What is not taken would be delivered as soon as it is unblocked. */
	(void)!read(interrupt_fd, &taken, sizeof(taken));
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
	/* If it is refused, the job has just ended: its last event is on its way either way. */
	json_object_put(client_execute(client, "x-umbra-snapshot-cancel", NULL, NULL));
}

/* Follows the job to its end. */
static json_object *follow(Client *client, int interrupt_fd, bool show, GError **error)
{
	for (;;) {
		json_object *event;

		if (!client_next_event(client, EVENT, interrupt_fd, &event, error))
			return NULL;
		if (!event) {
			cancel(client, interrupt_fd);
			interrupt_fd = -1;
		} else if (strcmp(text(event, "status"), "active") != 0) {
			return event;
		} else if (show) {
			progress_show((uint64_t)number(event, "done"),
				      (uint64_t)number(event, "total"));
		}
		json_object_put(event);
	}
}

/* Ctrl-C as something that can be waited for, unless it is ignored. */
static int watch_interrupt(void)
{
	struct sigaction action;
	sigset_t interrupt;

	if (sigaction(SIGINT, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
		return -1;
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, NULL);
	return signalfd(-1, &interrupt, SFD_CLOEXEC);
}

static bool start(Client *client, const char *file, const char *since, bool no_track,
		  GError **error)
{
	json_object *arguments = json_object_new_object();
	g_autofree char *path = make_absolute(file);

	json_object_object_add(arguments, "path", json_object_new_string(path));
	if (since) {
		g_autofree char *parent = make_absolute(since);

		json_object_object_add(arguments, "since", json_object_new_string(parent));
	}
	json_object_object_add(arguments, "no-track", json_object_new_boolean(no_track));
	g_autoptr(json_object) done = client_execute(client, "x-umbra-snapshot", arguments, error);

	return done != NULL;
}

static int finish(Client *client, const char *file, int interrupt_fd, bool quiet, GError **error)
{
	bool show = !quiet && progress_is_seen();

	client_keep_events(client);
	g_autoptr(json_object) last = follow(client, interrupt_fd, show, error);

	if (show)
		progress_clear();
	if (!last) {
		g_prefix_error(error, "it is not known whether %s is complete: ", file);
		return EXIT_TROUBLE;
	}
	if (strcmp(text(last, "status"), "cancelled") == 0)
		return cli_trouble("%s was not written: the snapshot was cancelled", file);
	if (strcmp(text(last, "status"), "completed") != 0)
		return cli_trouble("%s", text(last, "error"));
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

	int interrupt_fd = client ? watch_interrupt() : -1;

	if (!client || !start(client, argv[2], since, no_track, &error))
		return cli_error(error);
	int status = finish(client, argv[2], interrupt_fd, quiet, &error);

	return error ? cli_error(error) : status;
}
