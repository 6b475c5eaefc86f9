// SPDX-License-Identifier: MIT
#include "trip.h"

#include "kvm/kvm.h"

#include <glib/gstdio.h>
#include <string.h>

static size_t hear(void *owner, const uint8_t *data, size_t length)
{
	Trip *trip = owner;

	g_mutex_lock(&trip->lock);
	g_string_append_len(trip->said, (const char *)data, (gssize)length);
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
	return length;
}

/* At the source. A guest whose output is not taken waits, and its output moves with it. */
static size_t hear_here(void *owner, const uint8_t *data, size_t length)
{
	Trip *trip = owner;

	g_mutex_lock(&trip->lock);
	bool mute = trip->mute_after && strstr(trip->said->str, trip->mute_after);

	g_mutex_unlock(&trip->lock);
	return mute ? 0 : hear(owner, data, length);
}

static void on_ended(void *owner)
{
	Trip *trip = owner;

	g_mutex_lock(&trip->lock);
	trip->ended = true;
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
}

static void on_source(void *owner)
{
	Trip *trip = owner;
	g_auto(MigrateProgress) progress = {0};

	migrate_source_query(trip->source, &progress);
	g_mutex_lock(&trip->lock);
	trip->source_is = progress.status;
	trip->recoveries += progress.status == MIGRATE_POSTCOPY_RECOVER;
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
}

static void on_following(void *owner, MigrateStatus status, const GError *why)
{
	Trip *trip = owner;

	g_mutex_lock(&trip->lock);
	trip->target_is = status;
	g_free(trip->why);
	trip->why = why ? g_strdup(why->message) : NULL;
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
}

static void on_started(void *owner, Machine *machine)
{
	Trip *trip = owner;

	g_mutex_lock(&trip->lock);
	trip->to = machine;
	trip->target_is = MIGRATE_POSTCOPY_ACTIVE;
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
}

static void on_refused(void *owner, const GError *error)
{
	(void)owner;
	g_test_message("refused: %s", error->message);
}

static void on_failed(void *owner, const GError *error)
{
	Trip *trip = owner;

	g_test_message("failed: %s", error->message);
	g_mutex_lock(&trip->lock);
	trip->failed = true;
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
}

void trip_init(Trip *trip, const char *guest)
{
	g_autoptr(GError) error = NULL;

	*trip = (Trip){.said = g_string_new(NULL)};
	trip->folder = g_dir_make_tmp("umbra-postcopy-XXXXXX", &error);
	g_assert_no_error(error);
	trip->uri = g_strdup_printf("unix:%s/socket", trip->folder);
	trip->config = (MachineConfig){
		.kvm_path = KVM_DEFAULT_PATH,
		.memory = MEMORY,
		.cpus = 1,
		.kernel = g_build_filename(g_getenv("UMBRA_GUESTS"), guest, NULL),
		.cmdline = "",
	};
	trip->here = (MachineSink){
		.ended = on_ended, .console = {.write = hear_here, .owner = trip}, .owner = trip};
	trip->there = (MachineSink){
		.ended = on_ended, .console = {.write = hear, .owner = trip}, .owner = trip};
}

void trip_boot(Trip *trip)
{
	g_autoptr(GError) error = NULL;

	trip->from = machine_create(&trip->config, &trip->here, &error);
	g_assert_no_error(error);
	machine_start(trip->from, false, &error);
	g_assert_no_error(error);
}

void trip_listen(Trip *trip)
{
	g_autoptr(GError) error = NULL;
	MigrateTargetConfig config = {
		.uri = trip->uri,
		.patience_ms = PATIENCE,
		.machine = &trip->config,
		.machine_sink = &trip->there,
		.sink = {.refused = on_refused,
			 .started = on_started,
			 .failed = on_failed,
			 .following = on_following,
			 .owner = trip},
	};

	trip->target = migrate_target_start(&config, &error);
	g_assert_no_error(error);
}

static void *job(void *argument)
{
	Trip *trip = argument;
	GError *error = NULL;
	bool result = migrate_source_run(trip->source, &error);

	g_mutex_lock(&trip->lock);
	trip->result = result;
	trip->error = error;
	trip->over = true;
	g_cond_broadcast(&trip->changed);
	g_mutex_unlock(&trip->lock);
	return NULL;
}

MigrateParameters trip_parameters(uint64_t bandwidth)
{
	MigrateParameters result = MIGRATE_PARAMETERS_DEFAULT;

	result.patience_ms = PATIENCE;
	result.postcopy_bandwidth = bandwidth;
	return result;
}

/* All of RAM goes after the start. */
void trip_send(Trip *trip, uint64_t bandwidth)
{
	g_autoptr(GError) error = NULL;
	MigrateSourceConfig config = {
		.uri = trip->uri,
		.postcopy = true,
		.parameters = trip_parameters(bandwidth),
		.sink = {.changed = on_source, .owner = trip},
	};

	trip->source = migrate_source_create(trip->from, &config, &error);
	g_assert_no_error(error);
	migrate_source_start_postcopy(trip->source, &error);
	g_assert_no_error(error);
	trip->job = g_thread_new("job", job, trip);
}

void trip_hurry(Trip *trip)
{
	MigrateParameters fast = trip_parameters(0);

	migrate_source_set(trip->source, &fast);
}

void trip_cut(Trip *trip)
{
	g_autoptr(GError) error = NULL;

	AWAIT(trip, trip->source_is == MIGRATE_POSTCOPY_ACTIVE &&
			    trip->target_is == MIGRATE_POSTCOPY_ACTIVE);
	migrate_source_pause(trip->source, &error);
	g_assert_no_error(error);
	AWAIT(trip, trip->source_is == MIGRATE_POSTCOPY_PAUSED &&
			    trip->target_is == MIGRATE_POSTCOPY_PAUSED);
	g_assert_nonnull(strstr(trip->why, "resume the migration there"));
}

void trip_resume(Trip *trip)
{
	g_autoptr(GError) error = NULL;

	migrate_source_resume(trip->source, trip->uri, NULL, &error);
	g_assert_no_error(error);
}

void trip_arrived(Trip *trip, MigrateProgress *ret_progress)
{
	AWAIT(trip, trip->over && trip->target_is == MIGRATE_COMPLETED);
	g_assert_no_error(trip->error);
	g_assert_true(trip->result);
	migrate_source_query(trip->source, ret_progress);
	g_assert_cmpint(ret_progress->status, ==, MIGRATE_COMPLETED);
	g_assert_cmpuint(ret_progress->remaining, ==, 0);
	g_assert_cmpuint(ret_progress->postcopy_pages, >, 0);
}

void trip_finish(Trip *trip)
{
	if (trip->to)
		machine_stop(trip->to);
	migrate_target_destroy(trip->target);
	machine_destroy(trip->to);
	if (trip->job)
		g_thread_join(trip->job);
	migrate_source_destroy(trip->source);
	machine_destroy(trip->from);
	g_clear_error(&trip->error);
	g_string_free(trip->said, TRUE);
	g_free((char *)trip->config.kernel);
	g_free(trip->why);
	g_rmdir(trip->folder);
	g_free(trip->folder);
	g_free(trip->uri);
}
