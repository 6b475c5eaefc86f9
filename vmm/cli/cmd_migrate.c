// SPDX-License-Identifier: MIT
/* umbra migrate: moves a running guest to an `umbra run --incoming`, and shows how far it is. */
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/follow.h"

#include "base/error.h"
#include "base/parse.h"
#include "migrate/address.h"

#include <stdio.h>
#include <string.h>

#define DOWNTIME_MAX 2000000 /* ms */
#define CHANNELS_MAX 16
#define PATIENCE_MAX 86400 /* s */

static const FollowedJob migration = {.event = "X_UMBRA_MIGRATION", .cancel = "migrate_cancel"};

typedef struct MigrateOptions {
	char *downtime, *bandwidth, *channels, *patience, *tls; /* as typed */
	gboolean no_throttle, dry_run, quiet;
} MigrateOptions;

static void options_finish(MigrateOptions *options)
{
	g_free(options->downtime);
	g_free(options->bandwidth);
	g_free(options->channels);
	g_free(options->patience);
	g_free(options->tls);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigrateOptions, options_finish)

static bool options_parse(MigrateOptions *options, int *argc, char ***argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"downtime", 'd', 0, G_OPTION_ARG_STRING, &options->downtime,
		 "how long the guest may stand still (default 100)", "MS"},
		{"bandwidth", 'b', 0, G_OPTION_ARG_STRING, &options->bandwidth,
		 "send no more than this per second (default: no limit)", "SIZE"},
		{"channels", 0, 0, G_OPTION_ARG_STRING, &options->channels,
		 "connections in parallel, 1 to 16 (default 1)", "N"},
		{"patience", 0, 0, G_OPTION_ARG_STRING, &options->patience,
		 "after so long without a word the target counts as lost (default 15)", "SECONDS"},
		{"no-throttle", 0, 0, G_OPTION_ARG_NONE, &options->no_throttle,
		 "never slow the guest down", NULL},
		{"dry-run", 'n', 0, G_OPTION_ARG_NONE, &options->dry_run,
		 "ask whether the guest could run there, and move nothing", NULL},
		{"tls", 0, 0, G_OPTION_ARG_FILENAME, &options->tls,
		 "folder with certificates, for tls:", "DIR"},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, "print errors only", NULL},
		{0},
	};

	return cli_parse(argc, argv, entries, "GUEST URI",
			 "Moves a running guest to an umbra that waits for it (umbra run "
			 "--incoming URI).\nURI is unix:PATH, tcp:HOST:PORT, tls:HOST:PORT.",
			 3, error);
}

static void add_number(json_object *to, const char *name, uint64_t value)
{
	json_object_object_add(to, name, json_object_new_int64((int64_t)value));
}

static bool execute(Client *client, const char *command, json_object *arguments, GError **error)
{
	g_autoptr(json_object) answer = client_execute(client, command, arguments, error);

	return answer != NULL;
}

static bool set_parameters(Client *client, const MigrateOptions *options, uint64_t channels,
			   GError **error)
{
	g_autoptr(json_object) arguments = json_object_new_object();
	uint64_t value;

	if (options->downtime) {
		if (!parse_uint("--downtime", options->downtime, 0, DOWNTIME_MAX, &value, error))
			return false;
		add_number(arguments, "downtime-limit", value);
	}
	if (options->bandwidth) {
		if (!parse_size("--bandwidth", options->bandwidth, &value, error))
			return false;
		add_number(arguments, "max-bandwidth", value);
	}
	if (options->patience) {
		if (!parse_uint("--patience", options->patience, 1, PATIENCE_MAX, &value, error))
			return false;
		add_number(arguments, "x-umbra-patience", value * 1000);
	}
	if (options->tls) {
		g_autofree char *folder = cli_absolute_path(options->tls);

		json_object_object_add(arguments, "tls-creds", json_object_new_string(folder));
	}
	add_number(arguments, "multifd-channels", channels);
	return execute(client, "migrate-set-parameters", g_steal_pointer(&arguments), error);
}

static void add_capability(json_object *list, const char *name, bool state)
{
	json_object *entry = json_object_new_object();

	json_object_object_add(entry, "capability", json_object_new_string(name));
	json_object_object_add(entry, "state", json_object_new_boolean(state));
	json_object_array_add(list, entry);
}

static bool set_up(Client *client, const MigrateOptions *options, GError **error)
{
	json_object *arguments, *list;
	uint64_t channels = 1;

	if (options->channels &&
	    !parse_uint("--channels", options->channels, 1, CHANNELS_MAX, &channels, error))
		return false;
	list = json_object_new_array();
	add_capability(list, "multifd", channels > 1);
	add_capability(list, "auto-converge", !options->no_throttle);
	arguments = json_object_new_object();
	json_object_object_add(arguments, "capabilities", list);
	return execute(client, "migrate-set-capabilities", arguments, error) &&
	       set_parameters(client, options, channels, error);
}

/* The guest's process has a working directory of its own. */
static char *make_absolute(const char *uri, GError **error)
{
	g_auto(Address) address = {0};

	if (!address_parse(uri, &address, error))
		return NULL;
	if (address.kind == ADDRESS_FD) {
		umbra_fail(error, UMBRA_ERROR_USAGE,
			   "%s: a descriptor of the guest's process cannot be named from here: use "
			   "QMP's migrate",
			   uri);
		return NULL;
	}
	if (address.kind != ADDRESS_UNIX)
		return g_strdup(uri);
	g_autofree char *path = cli_absolute_path(address.path);

	return g_strconcat("unix:", path, NULL);
}

static bool start(Client *client, const MigrateOptions *options, const char *uri, GError **error)
{
	g_autofree char *absolute = make_absolute(uri, error);
	json_object *arguments;

	if (!absolute || !set_up(client, options, error))
		return false;
	arguments = json_object_new_object();
	json_object_object_add(arguments, "uri", json_object_new_string(absolute));
	json_object_object_add(arguments, "x-umbra-dry-run",
			       json_object_new_boolean(options->dry_run));
	return execute(client, "migrate", arguments, error);
}

static void report(const char *guest, const char *uri, json_object *info)
{
	json_object *ram = json_object_object_get(info, "ram");
	json_object *downtime = json_object_object_get(info, "x-umbra-downtime");
	static const struct {
		const char *name;
		const char *words;
	} stages[] = {
		{"stop", "to stop its processors"},	{"pages", "for the last pages"},
		{"state", "to save and send all else"}, {"load", "for the target to load it"},
		{"start", "to start it there"},
	};

	printf("%s runs at %s now: %.1f MiB sent in %ld rounds\n", guest, uri,
	       (double)follow_number(ram, "transferred") / (1 << 20),
	       follow_number(ram, "dirty-sync-count"));
	printf("the guest stood still for %.1f ms:",
	       (double)follow_number(downtime, "total") / 1000);
	for (size_t i = 0; i < G_N_ELEMENTS(stages); i++)
		printf("%s %.1f %s", i ? "," : "",
		       (double)follow_number(downtime, stages[i].name) / 1000, stages[i].words);
	putchar('\n');
}

/* The old process has nothing left to do. */
static void end_source(Client *client)
{
	g_autoptr(json_object) answer = client_execute(client, "quit", NULL, NULL);

	if (answer)
		client_wait_end(client, NULL);
}

static int finish(Client *client, const MigrateOptions *options, char **argv, int interrupt_fd,
		  GError **error)
{
	g_autoptr(json_object) last =
		follow_job(client, &migration, interrupt_fd, !options->quiet, error);
	json_object *info;

	if (!last) {
		g_prefix_error(error, "it is not known how the migration of %s ended: ", argv[1]);
		return EXIT_TROUBLE;
	}
	info = json_object_object_get(last, "migration");
	if (strcmp(follow_text(last, "status"), "cancelled") == 0)
		return cli_trouble("%s stays here: the migration was cancelled", argv[1]);
	if (strcmp(follow_text(last, "status"), "completed") != 0) {
		cli_trouble("%s: %s", argv[1], follow_text(last, "error"));
		return json_object_get_boolean(json_object_object_get(info, "x-umbra-incompatible"))
			       ? EXIT_NO
			       : EXIT_TROUBLE;
	}
	if (options->dry_run) {
		if (!options->quiet)
			printf("%s can move to %s\n", argv[1], argv[2]);
		return EXIT_YES;
	}
	if (!options->quiet)
		report(argv[1], argv[2], info);
	end_source(client);
	return EXIT_YES;
}

int cmd_migrate(int argc, char **argv)
{
	g_auto(MigrateOptions) options = {0};
	g_autoptr(GError) error = NULL;
	g_autoptr(Client) client = NULL;

	if (!options_parse(&options, &argc, &argv, &error))
		return cli_error(error);
	client = client_open(argv[1], &error);
	if (!client)
		return cli_error(error);
	int interrupt_fd = follow_interrupt();

	if (!start(client, &options, argv[2], &error))
		return cli_error(error);
	int status = finish(client, &options, argv, interrupt_fd, &error);

	return error ? cli_error(error) : status;
}
