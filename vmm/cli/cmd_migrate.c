// SPDX-License-Identifier: MIT
/* umbra migrate: moves a running guest to an `umbra run --incoming`, and shows how far it is. */
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/follow.h"
#include "cli/moving.h"

#include "base/error.h"
#include "base/parse.h"
#include "migrate/address.h"
#include "migrate/progress.h"

#include <string.h>

#define DOWNTIME_MAX 2000000 /* ms */
#define CHANNELS_MAX 16
#define PATIENCE_MAX 86400 /* s */

typedef struct MigrateOptions {
	char *downtime, *bandwidth, *postcopy_bandwidth, *channels, *patience, *tls; /* as typed */
	gboolean no_throttle, dry_run, quiet;
	gboolean postcopy, postcopy_after_precopy, start_postcopy, resume;
} MigrateOptions;

static void options_finish(MigrateOptions *options)
{
	g_free(options->downtime);
	g_free(options->bandwidth);
	g_free(options->postcopy_bandwidth);
	g_free(options->channels);
	g_free(options->patience);
	g_free(options->tls);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigrateOptions, options_finish)

/* What was asked for at the beginning cannot be asked for again, or otherwise. */
static bool check_alone(const MigrateOptions *options, GError **error)
{
	const struct {
		const char *name;
		bool given;
		bool fits_resume;
	} others[] = {
		{"--downtime", options->downtime != NULL, false},
		{"--bandwidth", options->bandwidth != NULL, false},
		{"--channels", options->channels != NULL, false},
		{"--no-throttle", options->no_throttle, false},
		{"--dry-run", options->dry_run, false},
		{"--postcopy", options->postcopy, false},
		{"--postcopy-after-precopy", options->postcopy_after_precopy, false},
		{"--resume", options->resume, true},
		{"--postcopy-bandwidth", options->postcopy_bandwidth != NULL, true},
		{"--patience", options->patience != NULL, true},
		{"--tls", options->tls != NULL, true},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
		if (others[i].given && (options->start_postcopy || !others[i].fits_resume))
			return umbra_fail(
				error, UMBRA_ERROR_USAGE,
				"migrate: %s is about a migration that has begun: %s does "
				"not go with it",
				options->start_postcopy ? "--start-postcopy" : "--resume",
				others[i].name);
	return true;
}

static bool check_words(const MigrateOptions *options, int argc, char **argv, GError **error)
{
	int due = options->start_postcopy ? 2 : 3;

	if (argc != due)
		return umbra_fail(
			error, UMBRA_ERROR_USAGE,
			"migrate: %s%s; usage: umbra migrate GUEST URI [OPTION…], or umbra "
			"migrate GUEST --start-postcopy",
			argc > due ? "unexpected argument " : "an argument is missing",
			argc > due ? argv[due] : "");
	return (!options->start_postcopy && !options->resume) || check_alone(options, error);
}

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
		{"postcopy", 0, 0, G_OPTION_ARG_NONE, &options->postcopy,
		 "the guest may start there before its memory is there: --start-postcopy", NULL},
		{"postcopy-after-precopy", 0, 0, G_OPTION_ARG_NONE,
		 &options->postcopy_after_precopy,
		 "the same, and it does after one pass, unless the rest is small", NULL},
		{"postcopy-bandwidth", 0, 0, G_OPTION_ARG_STRING, &options->postcopy_bandwidth,
		 "then send no more per second of what nobody waits for (default: no limit)",
		 "SIZE"},
		{"start-postcopy", 0, 0, G_OPTION_ARG_NONE, &options->start_postcopy,
		 "start the guest there now: of a migration under way, without URI", NULL},
		{"resume", 'r', 0, G_OPTION_ARG_NONE, &options->resume,
		 "connect again, when the connection broke after the guest had started there",
		 NULL},
		{"tls", 0, 0, G_OPTION_ARG_FILENAME, &options->tls,
		 "folder with certificates, for tls:", "DIR"},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, "print errors only", NULL},
		{0},
	};

	return cli_parse(argc, argv, entries, "GUEST URI",
			 "Moves a running guest to an umbra that waits for it (umbra run "
			 "--incoming URI).\nURI is unix:PATH, tcp:HOST:PORT, tls:HOST:PORT.",
			 -2, error) &&
	       check_words(options, *argc, *argv, error);
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

/* What may be set whenever one likes. */
static bool set_parameters(Client *client, const MigrateOptions *options, GError **error)
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
	if (options->postcopy_bandwidth) {
		if (!parse_size("--postcopy-bandwidth", options->postcopy_bandwidth, &value, error))
			return false;
		add_number(arguments, "max-postcopy-bandwidth", value);
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
	return execute(client, "migrate-set-parameters", g_steal_pointer(&arguments), error);
}

static void add_capability(json_object *list, const char *name, bool state)
{
	json_object *entry = json_object_new_object();

	json_object_object_add(entry, "capability", json_object_new_string(name));
	json_object_object_add(entry, "state", json_object_new_boolean(state));
	json_object_array_add(list, entry);
}

/* What an earlier command asked of the same process is not what this one leaves out. */
static void add_defaults(json_object *to)
{
	const MigrateParameters defaults = MIGRATE_PARAMETERS_DEFAULT;

	add_number(to, "downtime-limit", defaults.downtime_limit_ms);
	add_number(to, "max-bandwidth", defaults.max_bandwidth);
	add_number(to, "max-postcopy-bandwidth", defaults.postcopy_bandwidth);
	add_number(to, "x-umbra-patience", defaults.patience_ms);
	json_object_object_add(to, "tls-creds", json_object_new_string(""));
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
	add_capability(list, "postcopy-ram", options->postcopy || options->postcopy_after_precopy);
	arguments = json_object_new_object();
	json_object_object_add(arguments, "capabilities", list);
	if (!execute(client, "migrate-set-capabilities", arguments, error))
		return false;
	arguments = json_object_new_object();
	add_defaults(arguments);
	add_number(arguments, "multifd-channels", channels);
	add_number(arguments, "x-umbra-postcopy-after", options->postcopy_after_precopy ? 1 : 0);
	return execute(client, "migrate-set-parameters", arguments, error) &&
	       set_parameters(client, options, error);
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

/* Sets what is asked for only if there is something to resume; if not, the guest's process says so.
 */
static bool resume(Client *client, const MigrateOptions *options, const char *uri, GError **error)
{
	g_autofree char *absolute = make_absolute(uri, error);
	g_autoptr(json_object) info =
		absolute ? client_execute(client, "query-migrate", NULL, error) : NULL;
	json_object *arguments;

	if (!info || (strcmp(follow_text(info, "status"), "postcopy-paused") == 0 &&
		      !set_parameters(client, options, error)))
		return false;
	arguments = json_object_new_object();
	json_object_object_add(arguments, "uri", json_object_new_string(absolute));
	json_object_object_add(arguments, "resume", json_object_new_boolean(true));
	return execute(client, "migrate", arguments, error);
}

static int follow(Client *client, const MigrateOptions *options, char **argv, GError **error)
{
	Moving moving = {
		.guest = argv[1],
		.uri = argv[2],
		.dry_run = options->dry_run,
		.quiet = options->quiet,
		.resumed = options->resume,
	};
	int interrupt_fd = follow_interrupt();

	if (!(options->resume ? resume : start)(client, options, argv[2], error))
		return EXIT_TROUBLE;
	return moving_follow(&moving, client, interrupt_fd, error);
}

int cmd_migrate(int argc, char **argv)
{
	g_auto(MigrateOptions) options = {0};
	g_autoptr(GError) error = NULL;
	g_autoptr(Client) client = NULL;
	int status = EXIT_YES;

	if (!options_parse(&options, &argc, &argv, &error))
		return cli_error(error);
	client = client_open(argv[1], &error);
	if (!client)
		return cli_error(error);
	if (options.start_postcopy)
		(void)execute(client, "migrate-start-postcopy", NULL, &error);
	else
		status = follow(client, &options, argv, &error);
	return error ? cli_error(error) : status;
}
