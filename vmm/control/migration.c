// SPDX-License-Identifier: MIT
#include "control/migration.h"

#include "base/error.h"
#include "control/migration_settings.h"
#include "migrate/source.h"

#include <string.h>

struct ControlMigration {
	ControlGuest *guest;
	MigrationSettings settings;
	MigrateSource *source; /* while the job runs */
	bool dry_run;
	char *uri;		/* of the last one */
	GAsyncQueue *news;	/* statuses plus one, from the job's thread */
	MigrateStatus told;	/* by the last event */
	bool stopped;		/* … or one before: the guest stopped for the hand-over */
	MigrateProgress last;	/* when no job runs: how the last one ended */
	ControlArrival arrival; /* NULL, or how the guest came here; until it moves on */
	void *arrival_owner;
};

/* The status that clients are to see. */
static void query(ControlMigration *migration, MigrateProgress *ret_progress)
{
	if (migration->source) {
		migrate_source_query(migration->source, ret_progress);
		return;
	}
	if (migration->arrival && !migration->uri) {
		migration->arrival(migration->arrival_owner, ret_progress);
		return;
	}
	*ret_progress = migration->last;
	ret_progress->error = g_strdup(migration->last.error);
}

static void tell(ControlMigration *migration, MigrateStatus status)
{
	if (status == migration->told)
		return;
	migration->told = status;
	migration->stopped = migration->stopped || status == MIGRATE_DEVICE;
	if (status == MIGRATE_DEVICE)
		control_server_event(migration->guest->server, "STOP", NULL);
	if (migration->settings.events) {
		json_object *data = json_object_new_object();

		json_object_object_add(data, "status",
				       json_object_new_string(migrate_status_name(status)));
		control_server_event(migration->guest->server, "MIGRATION", data);
	}
}

/* In the main loop: each status, also one that has passed already. */
static gboolean tell_news(void *owner)
{
	ControlMigration *migration = owner;
	gpointer item;

	while ((item = g_async_queue_try_pop(migration->news)))
		tell(migration, (MigrateStatus)(GPOINTER_TO_INT(item) - 1));
	return G_SOURCE_REMOVE;
}

/* In the job's thread. */
static void changed(void *owner)
{
	ControlMigration *migration = owner;
	g_auto(MigrateProgress) progress = {0};

	migrate_source_query(migration->source, &progress);
	g_async_queue_push(migration->news, GINT_TO_POINTER((int)progress.status + 1));
	g_idle_add(tell_news, migration);
}

static bool run(Job *job, void *data, GError **error)
{
	ControlMigration *migration = data;
	g_auto(MigrateProgress) progress = {0};

	if (migrate_source_run(migration->source, error))
		return true;
	migrate_source_query(migration->source, &progress);
	/* Too late for that, and the guest is not here for sure. */
	if (progress.status == MIGRATE_FAILED)
		job_forget_cancel(job);
	return false;
}

static void cancel(void *data)
{
	ControlMigration *migration = data;

	migrate_source_cancel(migration->source);
}

/* The guest ends, and at the target as well if it still needs pages from here. */
static void abandon(void *data)
{
	ControlMigration *migration = data;

	migrate_source_abandon(migration->source);
}

/* Bytes of RAM. Before the start, what has gone again counts again; after it, what is there. */
static uint64_t done(const MigrateProgress *progress)
{
	if (migrate_status_is_postcopy(progress->status))
		return progress->total - progress->remaining;
	return (progress->normal_pages + progress->zero_pages) * 4096;
}

static void describe(void *data, JobStatus status, json_object *event)
{
	ControlMigration *migration = data;
	g_auto(MigrateProgress) progress = {0};

	(void)status;
	query(migration, &progress);
	json_object_object_add(event, "migration", migration_progress_json(&progress));
	json_object_object_add(event, "done", json_object_new_int64((int64_t)done(&progress)));
	json_object_object_add(event, "total", json_object_new_int64((int64_t)progress.total));
}

static void ended(void *data, JobStatus status)
{
	ControlMigration *migration = data;

	(void)status;
	while (g_idle_remove_by_data(migration))
		;
	migrate_progress_finish(&migration->last);
	migrate_source_query(migration->source, &migration->last);
	tell_news(migration);
	g_clear_pointer(&migration->source, migrate_source_destroy);
	/* A guest that went on after it had stopped for the hand-over. */
	if (migration->stopped && migration->last.status != MIGRATE_COMPLETED &&
	    machine_is_running(migration->guest->machine))
		control_server_event(migration->guest->server, "RESUME", NULL);
	tell(migration, migration->last.status);
}

/* Not while the target needs what only this process has, or may be about to. */
static bool let_end(void *data, GError **error)
{
	const ControlMigration *migration = data;
	g_auto(MigrateProgress) progress = {0};

	if (migrate_source_let_end(migration->source))
		return true;
	migrate_source_query(migration->source, &progress);
	g_autofree char *resume =
		g_strdup_printf("the connection is broken: resume the migration (umbra migrate %s "
				"URI --resume)",
				migration->guest->name);

	return umbra_fail(error, UMBRA_ERROR_FAILED,
			  "the guest runs at %s and needs memory that only this process has (%.1f "
			  "MiB are still to be sent): it would be lost; %s, or insist (umbra quit "
			  "--force)",
			  migration->uri, (double)progress.remaining / (1 << 20),
			  progress.status == MIGRATE_POSTCOPY_PAUSED
				  ? resume
				  : "wait until the migration is complete");
}

static void nothing(void *data)
{
	(void)data;
}

static const JobKind migration_kind = {
	.name = "a migration",
	.event = "X_UMBRA_MIGRATION",
	.describe = describe,
	.run = run,
	.cancel = cancel,
	.let_end = let_end,
	.abandon = abandon,
	.ended = ended,
	.free = nothing,
};

static bool resume(ControlMigration *migration, const char *uri, GError **error)
{
	if (!migration->source)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "there is no migration to resume");
	if (!migrate_source_resume(migration->source, uri, migration->settings.tls, error))
		return false;
	g_free(migration->uri);
	migration->uri = g_strdup(uri);
	return true;
}

static bool migrate(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	ControlMigration *migration = owner;
	const char *uri = json_object_get_string(json_object_object_get(arguments, "uri"));
	MigrateSourceConfig config = {
		.uri = uri,
		.tls = migration->settings.tls,
		.dry_run = json_object_get_boolean(
			json_object_object_get(arguments, "x-umbra-dry-run")),
		.postcopy = migration->settings.postcopy,
		.parameters = migration_settings_parameters(&migration->settings),
		.sink = {.changed = changed, .owner = migration},
	};

	(void)ret_value;
	if (json_object_get_boolean(json_object_object_get(arguments, "resume")))
		return resume(migration, uri, error);
	if (machine_is_given_away(migration->guest->machine))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "the guest runs at %s already",
				  migration->uri);
	if (!job_must_be_idle(migration->guest->job, error))
		return false;
	migration->source = migrate_source_create(migration->guest->machine, &config, error);
	if (!migration->source)
		return false;
	g_free(migration->uri);
	migration->uri = g_strdup(uri);
	migration->dry_run = config.dry_run;
	migration->told = MIGRATE_NONE;
	migration->stopped = false;
	if (job_start(migration->guest->job, &migration_kind, migration, error))
		return true;
	g_clear_pointer(&migration->source, migrate_source_destroy);
	return false;
}

static bool migrate_cancel(void *owner, json_object *arguments, json_object **ret_value,
			   GError **error)
{
	ControlMigration *migration = owner;
	g_auto(MigrateProgress) progress = {0};

	(void)arguments, (void)ret_value;
	query(migration, &progress);
	if (migration->source && migrate_progress_is_needed(&progress))
		return umbra_fail(
			error, UMBRA_ERROR_USAGE,
			"The guest runs at %s already and needs pages from here: post-copy "
			"cannot be cancelled",
			migration->uri);
	/* As in QEMU, nothing to cancel is no error. */
	if (migration->source)
		job_cancel(migration->guest->job);
	return true;
}

static bool must_be_under_way(const ControlMigration *migration, GError **error)
{
	return migration->source ||
	       umbra_fail(error, UMBRA_ERROR_USAGE, "there is no migration under way");
}

static bool start_postcopy(void *owner, json_object *arguments, json_object **ret_value,
			   GError **error)
{
	ControlMigration *migration = owner;

	(void)arguments, (void)ret_value;
	return must_be_under_way(migration, error) &&
	       migrate_source_start_postcopy(migration->source, error);
}

static bool migrate_pause(void *owner, json_object *arguments, json_object **ret_value,
			  GError **error)
{
	ControlMigration *migration = owner;

	(void)arguments, (void)ret_value;
	return must_be_under_way(migration, error) &&
	       migrate_source_pause(migration->source, error);
}

static bool query_migrate(void *owner, json_object *arguments, json_object **ret_value,
			  GError **error)
{
	g_auto(MigrateProgress) progress = {0};

	(void)arguments, (void)error;
	query(owner, &progress);
	*ret_value = migration_progress_json(&progress);
	return true;
}

static bool set_parameters(void *owner, json_object *arguments, json_object **ret_value,
			   GError **error)
{
	ControlMigration *migration = owner;

	(void)ret_value;
	if (!migration_settings_set_parameters(&migration->settings, arguments, error))
		return false;
	if (migration->source) {
		MigrateParameters parameters = migration_settings_parameters(&migration->settings);

		migrate_source_set(migration->source, &parameters);
	}
	return true;
}

static bool query_parameters(void *owner, json_object *arguments, json_object **ret_value,
			     GError **error)
{
	const ControlMigration *migration = owner;

	(void)arguments, (void)error;
	*ret_value = migration_settings_parameters_json(&migration->settings);
	return true;
}

static bool set_capabilities(void *owner, json_object *arguments, json_object **ret_value,
			     GError **error)
{
	ControlMigration *migration = owner;

	(void)ret_value;
	return job_must_be_idle(migration->guest->job, error) &&
	       migration_settings_set_capabilities(
		       &migration->settings, json_object_object_get(arguments, "capabilities"),
		       error);
}

static bool query_capabilities(void *owner, json_object *arguments, json_object **ret_value,
			       GError **error)
{
	const ControlMigration *migration = owner;

	(void)arguments, (void)error;
	*ret_value = migration_settings_capabilities_json(&migration->settings);
	return true;
}

static const QmpCommand commands[] = {
	{.name = "migrate",
	 .run = migrate,
	 .arguments = {{"uri", json_type_string, false},
		       {"detach", json_type_boolean, true},
		       {"resume", json_type_boolean, true},
		       {"x-umbra-dry-run", json_type_boolean, true}}},
	{.name = "migrate_cancel", .run = migrate_cancel},
	{.name = "migrate-start-postcopy", .run = start_postcopy},
	{.name = "migrate-pause", .run = migrate_pause},
	{.name = "query-migrate", .run = query_migrate},
	{.name = "migrate-set-parameters",
	 .run = set_parameters,
	 .arguments = MIGRATION_PARAMETER_ARGUMENTS},
	{.name = "query-migrate-parameters", .run = query_parameters},
	{.name = "migrate-set-capabilities",
	 .run = set_capabilities,
	 .arguments = {{"capabilities", json_type_array, false}}},
	{.name = "query-migrate-capabilities", .run = query_capabilities},
};

ControlMigration *control_migration_attach(ControlGuest *guest)
{
	ControlMigration *migration = g_new0(ControlMigration, 1);

	migration->guest = guest;
	migration->news = g_async_queue_new();
	migration_settings_init(&migration->settings);
	control_server_add_commands(guest->server, commands, G_N_ELEMENTS(commands), migration);
	return migration;
}

void control_migration_destroy(ControlMigration *migration)
{
	if (!migration)
		return;
	migrate_progress_finish(&migration->last);
	migration_settings_finish(&migration->settings);
	g_async_queue_unref(migration->news);
	g_free(migration->uri);
	g_free(migration);
}

void control_migration_arrival_changed(ControlMigration *migration)
{
	g_auto(MigrateProgress) progress = {0};

	if (!migration->arrival || migration->uri)
		return;
	query(migration, &progress);
	tell(migration, progress.status);
}

void control_migration_announce_arrival(ControlMigration *migration, ControlArrival arrival,
					void *owner)
{
	migration->arrival = arrival;
	migration->arrival_owner = owner;
	control_migration_arrival_changed(migration);
	if (machine_is_running(migration->guest->machine))
		control_server_event(migration->guest->server, "RESUME", NULL);
}

const char *control_migration_loss(const ControlMigration *migration)
{
	return machine_is_given_away(migration->guest->machine) &&
			       migration->last.status == MIGRATE_FAILED
		       ? migration->last.error
		       : NULL;
}

const char *control_migration_moved_to(const ControlMigration *migration)
{
	return machine_is_given_away(migration->guest->machine) ? migration->uri : NULL;
}
