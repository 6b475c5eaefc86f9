// SPDX-License-Identifier: MIT
/* The life of a migration's source, from the address to the last word. */
#include "migrate/source_internal.h"

#include "base/error.h"
#include "machine/throttle.h"

#include <string.h>
#include <sys/random.h>

void source_set_status(MigrateSource *source, MigrateStatus status, const GError *error)
{
	g_mutex_lock(&source->lock);
	source->progress.status = status;
	source->progress.total_us = (uint64_t)(g_get_monotonic_time() - source->began);
	g_free(source->progress.error);
	source->progress.error = error ? g_strdup(error->message) : NULL;
	source->progress.incompatible =
		g_error_matches(error, UMBRA_ERROR, UMBRA_ERROR_INCOMPATIBLE);
	g_mutex_unlock(&source->lock);
	source->sink.changed(source->sink.owner);
}

MigrateParameters source_parameters(MigrateSource *source)
{
	g_mutex_lock(&source->lock);
	MigrateParameters parameters = source->parameters;

	g_mutex_unlock(&source->lock);
	return parameters;
}

bool source_is_cancelled(MigrateSource *source)
{
	g_mutex_lock(&source->lock);
	bool cancelled = source->cancelled;

	g_mutex_unlock(&source->lock);
	return cancelled;
}

bool source_hold(MigrateSource *source, GError **error)
{
	source->held_at = g_get_monotonic_time();
	source->held = machine_hold(source->machine);
	return source->held ||
	       umbra_fail(error, UMBRA_ERROR_FAILED, "the guest has ended meanwhile");
}

void source_release(MigrateSource *source)
{
	if (source->held)
		machine_release(source->machine);
	source->held = false;
}

/* Makes it known to migrate_source_cancel(), which may have been faster. */
static bool add_channel(MigrateSource *source, Channel *channel, GError **error)
{
	g_mutex_lock(&source->lock);
	bool may = !source->cancelled;

	source->channels[source->n_channels++] = channel;
	g_mutex_unlock(&source->lock);
	return may || umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
}

Channel *source_connect(MigrateSource *source, GError **error)
{
	MigrateParameters parameters = source_parameters(source);
	int fd = address_connect(&source->address, source->tls, parameters.patience_ms, error);

	return fd < 0 ? NULL : channel_create(fd, parameters.patience_ms, source->limit);
}

/* The guest's present state, for the target's judgement and as an outline to build from. */
static MachineState *outline(MigrateSource *source, GError **error)
{
	MachineState *state = NULL;

	if (!source_hold(source, error))
		return NULL;
	state = machine_save(source->machine, error);
	source_release(source);
	return state;
}

static bool introduce(MigrateSource *source, GError **error)
{
	MigrateParameters parameters = source_parameters(source);
	g_autoptr(MachineState) state = outline(source, error);
	Hello hello = {
		.version = PROTOCOL_VERSION,
		.oldest = PROTOCOL_OLDEST,
		.flags = (source->dry_run ? HELLO_DRY_RUN : 0) |
			 (source->postcopy_allowed ? HELLO_POSTCOPY : 0),
		.channels = parameters.channels,
	};
	Verdict verdict;
	Message message;

	if (!state)
		return false;
	if (!address_is_reusable(&source->address))
		hello.channels = 1;
	source->planned = hello.channels;
	if (getrandom(source->session, sizeof(source->session), 0) != sizeof(source->session))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "no random numbers");
	memcpy(hello.session, source->session, sizeof(hello.session));
	source->owner = owner_create(source->session, &hello.ticket, error);
	Channel *channel = source->owner ? source_connect(source, error) : NULL;

	if (!channel || !add_channel(source, channel, error) ||
	    !hello_send(channel, &hello, state, error) ||
	    !channel_expect(channel, MESSAGE_VERDICT, &message, error) ||
	    !message_copy(&message, &verdict, sizeof(verdict), error))
		return false;
	source->shares_owner = verdict.flags & VERDICT_SHARES_OWNER;
	return true;
}

static bool join_channels(MigrateSource *source, GError **error)
{
	Message message;

	for (unsigned i = 1; i < source->planned; i++) {
		Join join = {.index = i};
		Channel *channel = source_connect(source, error);

		memcpy(join.session, source->session, sizeof(join.session));
		if (!channel || !add_channel(source, channel, error) ||
		    !channel_send(channel, MESSAGE_JOIN, &join, sizeof(join), error))
			return false;
	}
	return channel_expect(source->channels[0], MESSAGE_JOINED, &message, error);
}

static bool set_up(MigrateSource *source, GError **error)
{
	const GuestMemory *memory = machine_memory(source->machine);

	source_set_status(source, MIGRATE_SETUP, NULL);
	source->space = (PageSpace){.bytes = memory->base, .pages = memory->size / PAGE_SIZE};
	if (!introduce(source, error))
		return false;
	if (source->dry_run)
		return true;
	if (!join_channels(source, error))
		return false;
	source->dirty = machine_dirty_start(source->machine, error);
	g_mutex_lock(&source->lock);
	source->progress.setup_us = (uint64_t)(g_get_monotonic_time() - source->began);
	source->progress.total = memory->size;
	g_mutex_unlock(&source->lock);
	return source->dirty != NULL;
}

/* What the guest was slowed down by, and what stood still, is as before. */
static void give_back(MigrateSource *source)
{
	machine_throttle(source->machine, 0);
	if (source->dirty)
		machine_dirty_stop(source->machine, source->dirty);
	source->dirty = NULL;
	source_release(source);
}

static void fail(MigrateSource *source, const GError *error)
{
	/* The guest first: a target that takes nothing may keep the message waiting. */
	give_back(source);
	if (source->n_channels > 0 && !channel_is_cancelled(source->channels[0]))
		channel_send_failure(source->channels[0], error);
	if (source_is_cancelled(source))
		source_set_status(source, MIGRATE_CANCELLED, NULL);
	else
		source_set_status(source, MIGRATE_FAILED, error);
}

/* The guest stays held: only its user can know, see docs/migration.md. */
static void fail_unknown(MigrateSource *source, const GError *error)
{
	machine_pause(source->machine);
	give_back(source);
	source_set_status(source, MIGRATE_FAILED, error);
}

/* From the first page to the last word. */
static bool move(MigrateSource *source, GError **error)
{
	source_set_status(source, MIGRATE_ACTIVE, NULL);
	if (!precopy_run(source, error)) {
		fail(source, *error);
		return false;
	}
	source_set_status(source, MIGRATE_DEVICE, NULL);
	switch (handover_run(source, error)) {
	case HANDOVER_DONE:
		machine_give_away(source->machine);
		give_back(source);
		if (source->later && !postcopy_run(source, error)) {
			source_set_status(source, MIGRATE_FAILED, *error);
			return false;
		}
		source_set_status(source, MIGRATE_COMPLETED, NULL);
		return true;
	case HANDOVER_FAILED:
		fail(source, *error);
		return false;
	case HANDOVER_UNKNOWN:
		fail_unknown(source, *error);
		return false;
	}
	g_assert_not_reached();
}

bool migrate_source_run(MigrateSource *source, GError **error)
{
	g_autoptr(GError) why = NULL;
	bool done = set_up(source, &why);

	if (!done)
		fail(source, why);
	else if (source->dry_run)
		source_set_status(source, MIGRATE_COMPLETED, NULL);
	else
		done = move(source, &why);
	if (!done)
		g_propagate_error(error, g_steal_pointer(&why));
	return done;
}

MigrateSource *migrate_source_create(Machine *machine, const MigrateSourceConfig *config,
				     GError **error)
{
	g_auto(Address) address = {0};

	if (!machine_ram_must_be_here(machine, error) ||
	    !address_parse(config->uri, &address, error) ||
	    !address_fits_tls(&address, config->tls, error))
		return NULL;
	if (config->postcopy && !address_is_reusable(&address)) {
		umbra_fail(
			error, UMBRA_ERROR_USAGE,
			"%s: post-copy must be able to connect again when the connection breaks: "
			"use unix:, tcp: or tls:",
			config->uri);
		return NULL;
	}
	MigrateSource *source = g_new0(MigrateSource, 1);

	source->machine = machine;
	source->address = address;
	address = (Address){0};
	source->tls = g_strdup(config->tls);
	source->dry_run = config->dry_run;
	source->postcopy_allowed = config->postcopy;
	source->sink = config->sink;
	/* Who asks at once must not hear that there is none. */
	source->progress.status = MIGRATE_SETUP;
	source->parameters = config->parameters;
	source->began = g_get_monotonic_time();
	source->limit = rate_limit_create();
	g_mutex_init(&source->lock);
	g_cond_init(&source->woken);
	migrate_source_set(source, &config->parameters);
	return source;
}

void migrate_source_destroy(MigrateSource *source)
{
	if (!source)
		return;
	for (unsigned i = 0; i < source->n_channels; i++)
		channel_destroy(source->channels[i]);
	rate_limit_destroy(source->limit);
	owner_destroy(source->owner);
	address_finish(&source->address);
	migrate_progress_finish(&source->progress);
	g_mutex_clear(&source->lock);
	g_cond_clear(&source->woken);
	address_finish(&source->resume_at);
	g_free(source->resume_tls);
	g_free(source->later);
	g_free(source->bitmap);
	g_free(source->tls);
	g_free(source);
}

/* With the lock held. */
static void cancel_channels(MigrateSource *source)
{
	source->cancelled = true;
	for (unsigned i = 0; i < source->n_channels; i++)
		channel_cancel(source->channels[i]);
	if (source->question)
		channel_cancel(source->question);
}

bool migrate_source_let_end(MigrateSource *source)
{
	g_mutex_lock(&source->lock);
	bool needed = migrate_progress_is_needed(&source->progress);

	if (!needed)
		cancel_channels(source);
	g_mutex_unlock(&source->lock);
	return !needed;
}

static void cancel(MigrateSource *source, bool abandon)
{
	g_mutex_lock(&source->lock);
	source->abandoned = source->abandoned || abandon;
	if (abandon || !migrate_progress_is_needed(&source->progress))
		cancel_channels(source);
	g_cond_broadcast(&source->woken);
	g_mutex_unlock(&source->lock);
}

void migrate_source_cancel(MigrateSource *source)
{
	cancel(source, false);
}

void migrate_source_abandon(MigrateSource *source)
{
	cancel(source, true);
}

void migrate_source_set(MigrateSource *source, const MigrateParameters *parameters)
{
	g_mutex_lock(&source->lock);
	source->parameters = *parameters;
	/* Pages that a guest waits for are not held back. */
	if (!migrate_status_is_postcopy(source->progress.status))
		rate_limit_set(source->limit, parameters->max_bandwidth);
	g_mutex_unlock(&source->lock);
}

void migrate_source_query(MigrateSource *source, MigrateProgress *ret_progress)
{
	g_mutex_lock(&source->lock);
	*ret_progress = source->progress;
	ret_progress->error = g_strdup(source->progress.error);
	ret_progress->transferred = source->bytes_before;
	for (unsigned i = 0; i < source->n_channels; i++)
		ret_progress->transferred += channel_bytes_sent(source->channels[i]);
	g_mutex_unlock(&source->lock);
	ret_progress->normal_pages = source->counts.normal;
	ret_progress->zero_pages = source->counts.zero;
}
