// SPDX-License-Identifier: MIT
#include "cli/moving.h"

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

static double mib(json_object *object, const char *name)
{
	return (double)follow_number(object, name) / (1 << 20);
}

static bool is_postcopy(json_object *info)
{
	return g_str_has_prefix(follow_text(info, "status"), "postcopy");
}

/* Where a line of text comes, the bar has to make room. */
static void clear_bar(const Moving *moving)
{
	if (!moving->quiet && progress_is_seen())
		progress_clear();
}

static void say_that_it_runs_there(const Moving *moving, json_object *ram)
{
	clear_bar(moving);
	if (moving->resumed)
		printf("connected again: %.1f MiB of %s are still to go\n", mib(ram, "remaining"),
		       moving->guest);
	else
		printf("%s runs at %s now, and needs both sides until the rest of its memory "
		       "(%.1f MiB) is there\n",
		       moving->guest, moving->uri, mib(ram, "remaining"));
	fflush(stdout);
}

/* FollowedJob.watch: enough when the connection is broken. */
static bool watch(void *owner, json_object *event)
{
	Moving *moving = owner;
	json_object *info = json_object_object_get(event, "migration");

	if (strcmp(follow_text(info, "status"), "postcopy-active") == 0 && !moving->runs_there) {
		moving->runs_there = true;
		if (!moving->quiet)
			say_that_it_runs_there(moving, json_object_object_get(info, "ram"));
	}
	return strcmp(follow_text(info, "status"), "postcopy-paused") != 0;
}

static void cannot_cancel(void *owner, const GError *why)
{
	clear_bar(owner);
	cli_warn("%s; Ctrl-C once more ends this command, and the migration goes on", why->message);
}

static char *note(void *owner, json_object *event)
{
	json_object *info = json_object_object_get(event, "migration");
	int64_t rounds = follow_number(json_object_object_get(info, "ram"), "dirty-sync-count");

	(void)owner;
	if (strcmp(follow_text(info, "status"), "postcopy-recover") == 0)
		return g_strdup(", connecting again");
	if (is_postcopy(info))
		return g_strdup(" are there, and so is the guest");
	return rounds > 0 ? g_strdup_printf(", round %" G_GINT64_FORMAT, rounds + 1) : NULL;
}

static void report_downtime(json_object *downtime)
{
	static const struct {
		const char *name;
		const char *words;
	} stages[] = {
		{"stop", "to stop its processors"},
		{"pages", "for the last pages"},
		{"vcpus", "for their state, saved, sent and loaded"},
		{"devices", "for the devices'"},
		{"start", "to start it there"},
	};

	printf("the guest stood still for %.1f ms:",
	       (double)follow_number(downtime, "total") / 1000);
	for (size_t i = 0; i < G_N_ELEMENTS(stages); i++)
		printf("%s %.1f %s", i ? "," : "",
		       (double)follow_number(downtime, stages[i].name) / 1000, stages[i].words);
	putchar('\n');
}

static void report(const Moving *moving, json_object *info)
{
	json_object *ram = json_object_object_get(info, "ram");
	int64_t rounds = follow_number(ram, "dirty-sync-count");
	int64_t after = follow_number(ram, "postcopy-bytes");

	printf("%s runs at %s now: %.1f MiB sent in %ld round%s", moving->guest, moving->uri,
	       mib(ram, "transferred"), rounds, rounds == 1 ? "" : "s");
	if (after > 0 || moving->runs_there)
		printf(", and %.1f MiB of it when it ran there already, which waited for %ld pages",
		       (double)after / (1 << 20), follow_number(ram, "postcopy-requests"));
	putchar('\n');
	report_downtime(json_object_object_get(info, "x-umbra-downtime"));
}

/* The old process has nothing left to do. */
static void end_source(Client *client)
{
	g_autoptr(json_object) answer = client_execute(client, "quit", NULL, NULL);

	if (answer)
		client_wait_end(client, NULL);
}

/* As a shell wants it, but plain words stay plain. */
static char *quoted(const char *word)
{
	bool plain = strcspn(word, " \t\n'\"\\$`&;|<>()*?[]#~!{}") == strlen(word);

	return plain ? g_strdup(word) : g_shell_quote(word);
}

/* With a command to be copied. */
static int broken(const Moving *moving, json_object *info)
{
	g_autofree char *guest = quoted(moving->guest), *uri = quoted(moving->uri);

	cli_trouble("%s: %s (umbra migrate %s %s --resume)", moving->guest,
		    follow_text(info, "error-desc"), guest, uri);
	return EXIT_RESUME;
}

static int failed(const Moving *moving, json_object *last, json_object *info)
{
	cli_trouble("%s: %s", moving->guest, follow_text(last, "error"));
	return json_object_get_boolean(json_object_object_get(info, "x-umbra-incompatible"))
		       ? EXIT_NO
		       : EXIT_TROUBLE;
}

int moving_follow(Moving *moving, Client *client, int interrupt_fd, GError **error)
{
	const FollowedJob migration = {
		.event = "X_UMBRA_MIGRATION",
		.cancel = "migrate_cancel",
		.watch = watch,
		.refused = cannot_cancel,
		.note = note,
		.owner = moving,
	};
	g_autoptr(json_object) last =
		follow_job(client, &migration, interrupt_fd, !moving->quiet, error);
	json_object *info = json_object_object_get(last, "migration");
	const char *status = last ? follow_text(last, "status") : "";

	if (!last) {
		g_prefix_error(error,
			       "it is not known how the migration of %s ended: ", moving->guest);
		return EXIT_TROUBLE;
	}
	if (strcmp(status, "active") == 0)
		return broken(moving, info);
	if (strcmp(status, "cancelled") == 0)
		return cli_trouble("%s stays here: the migration was cancelled", moving->guest);
	if (strcmp(status, "completed") != 0)
		return failed(moving, last, info);
	if (moving->dry_run) {
		if (!moving->quiet)
			printf("%s can move to %s\n", moving->guest, moving->uri);
		return EXIT_YES;
	}
	if (!moving->quiet)
		report(moving, info);
	end_source(client);
	return EXIT_YES;
}
