// SPDX-License-Identifier: MIT
/*
 * Post-copy at the source: the guest runs at the target before all of its RAM is there, and
 * what it misses comes from here. Until the target has said COMPLETE, this process holds
 * a part of the guest that exists nowhere else; so a broken connection is waited out
 * (migrate_source_resume()), as often as it takes.
 */
#include "migrate/source_internal.h"

#include "base/error.h"

#include <string.h>

/* So much goes between two looks at what the target wants: it waits for no more than that. */
#define CHUNK_PAGES 64u
/* So often a target that gets nothing is told that there is more to come. */
#define ALIVE_MS 1000
/* Who touches a page soon touches the next ones. */
#define AHEAD_PAGES 8u

bool postcopy_announce(MigrateSource *source, GError **error)
{
	size_t words = bitmap_words(source->space.pages);

	source->later = g_memdup2(source->bitmap, words * sizeof(*source->later));
	g_mutex_lock(&source->lock);
	source->progress.remaining = bitmap_count(source->later, source->space.pages) * PAGE_SIZE;
	g_mutex_unlock(&source->lock);
	return page_runs_send(source->channels[0], MESSAGE_LATER, source->later,
			      source->space.pages, error);
}

static bool send_range(MigrateSource *source, uint64_t first, uint64_t n, GError **error)
{
	PageSender sender = {
		.channel = source->channels[0],
		.space = source->space,
		.bitmap = source->bitmap,
		.still = true, /* the guest is there, not here */
		.counts = &source->counts,
	};
	uint64_t before = source->counts.normal + source->counts.zero;
	bool done = pages_send_range(&sender, first, n, error);
	uint64_t sent = source->counts.normal + source->counts.zero - before;

	g_mutex_lock(&source->lock);
	source->progress.postcopy_pages += sent;
	source->progress.remaining -= MIN(source->progress.remaining, sent * PAGE_SIZE);
	g_mutex_unlock(&source->lock);
	return done;
}

/*
 * Sends what was asked for. Pages that have gone already are on their way. *ret_at: where the
 * guest is just now.
 */
static bool serve(MigrateSource *source, const Message *message, uint64_t *ret_at, GError **error)
{
	const PageRun *runs;
	uint64_t pages = 0;
	unsigned n;

	if (!page_runs_check(message, &source->space, &runs, &n, error))
		return false;
	for (unsigned i = 0; i < n; i++) {
		uint64_t page = runs[i].first, end = page + runs[i].n;

		for (; page < end; page++)
			if (!bitmap_has(source->later, page))
				return umbra_fail(error, UMBRA_ERROR_INPUT,
						  "the target wants page %#lx, which was not among "
						  "those that come later",
						  page);
		if (!send_range(source, runs[i].first, (uint64_t)runs[i].n + AHEAD_PAGES, error))
			return false;
		pages += runs[i].n;
		*ret_at = end;
	}
	g_mutex_lock(&source->lock);
	source->progress.postcopy_requests += pages;
	g_mutex_unlock(&source->lock);
	return true;
}

bool source_expect(MigrateSource *source, MessageType type, Message *ret_message, GError **error)
{
	uint64_t at;

	for (;;) {
		if (!channel_receive(source->channels[0], ret_message, error))
			return false;
		if (ret_message->type == type)
			return true;
		if (ret_message->type != MESSAGE_WANT || !source->later)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "a message %s came where %s was due",
					  message_name(ret_message->type), message_name(type));
		if (!serve(source, ret_message, &at, error))
			return false;
	}
}

/* The next page to go from `at` on, all around; the number of pages: none is left. */
static uint64_t next_page(const MigrateSource *source, uint64_t at)
{
	uint64_t pages = source->space.pages;
	uint64_t next = bitmap_next(source->bitmap, MIN(at, pages), pages);

	return next < pages ? next : bitmap_next(source->bitmap, 0, pages);
}

/* When the next chunk may go, if the last one went at `sent_at`; both monotonic µs. */
static int64_t next_at(MigrateSource *source, int64_t sent_at)
{
	uint64_t bandwidth = source_parameters(source).postcopy_bandwidth;
	double gap = (double)CHUNK_PAGES * PAGE_SIZE * G_USEC_PER_SEC / (double)MAX(bandwidth, 1);

	return bandwidth ? sent_at + (int64_t)gap : 0;
}

/* Serves until nothing more is wanted just now and the next chunk may go, or nothing is left. */
static bool serve_all(MigrateSource *source, int64_t sent_at, uint64_t *ret_at, GError **error)
{
	Channel *channel = source->channels[0];
	Message message;

	while (next_page(source, *ret_at) < source->space.pages) {
		int64_t wait = MAX(next_at(source, sent_at) - g_get_monotonic_time(), 0);

		if (!channel_is_readable(channel, (int)MIN((wait + 999) / 1000, ALIVE_MS))) {
			if (g_get_monotonic_time() >= next_at(source, sent_at))
				return true;
			if (!channel_send(channel, MESSAGE_ALIVE, NULL, 0, error))
				return false;
			continue;
		}
		if (!channel_receive(channel, &message, error))
			return false;
		if (message.type == MESSAGE_COMPLETE) {
			source->complete = true;
			return true;
		}
		if (message.type != MESSAGE_WANT)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "a message %s came while pages are missing",
					  message_name(message.type));
		if (!serve(source, &message, ret_at, error))
			return false;
	}
	return true;
}

/* Everything that is left; what is wanted goes first, and the rest goes on from there. */
static bool push(MigrateSource *source, GError **error)
{
	uint64_t pages = source->space.pages, at = 0;
	int64_t sent_at = g_get_monotonic_time();

	/* What is wanted goes behind what is on its way already. */
	channel_set_room(source->channels[0], CHUNK_PAGES * PAGE_SIZE);
	while ((at = next_page(source, at)) < pages) {
		if (!serve_all(source, sent_at, &at, error))
			return false;
		if (source->complete)
			return true;
		at = next_page(source, at);
		if (at < pages && !send_range(source, at, CHUNK_PAGES, error))
			return false;
		at += CHUNK_PAGES;
		sent_at = g_get_monotonic_time();
	}
	return true;
}

/* A target that needs nothing more may be gone before it has taken what was on its way. */
static bool heard_complete(MigrateSource *source)
{
	Message message = {0};

	while (!source->complete && channel_is_readable(source->channels[0], 0) &&
	       channel_receive(source->channels[0], &message, NULL))
		source->complete = message.type == MESSAGE_COMPLETE;
	return source->complete;
}

static bool finish(MigrateSource *source, GError **error)
{
	Message message;

	if ((!push(source, error) ||
	     (!source->complete && !source_expect(source, MESSAGE_COMPLETE, &message, error))) &&
	    !heard_complete(source))
		return false;
	g_clear_error(error);
	/* The target need not wait for another connection any more. */
	if (channel_send(source->channels[0], MESSAGE_END, NULL, 0, NULL))
		channel_part(source->channels[0]);
	return true;
}

/* Waits until somebody wants to try again. False: this process ends. */
static bool wait_for_resume(MigrateSource *source, GError **error)
{
	g_mutex_lock(&source->lock);
	while (!source->resuming && !source->abandoned)
		g_cond_wait(&source->woken, &source->lock);
	bool go_on = !source->abandoned;

	if (go_on) {
		address_finish(&source->address);
		source->address = source->resume_at;
		source->resume_at = (Address){0};
		g_free(source->tls);
		source->tls = g_steal_pointer(&source->resume_tls);
		source->resuming = false;
	}
	g_mutex_unlock(&source->lock);
	return go_on || umbra_fail(error, UMBRA_ERROR_FAILED,
				   "ended while pages of the guest were missing at the target: the "
				   "guest there cannot go on");
}

static bool replace_channel(MigrateSource *source, Channel *channel, GError **error)
{
	g_mutex_lock(&source->lock);
	Channel *old = source->channels[0];
	bool go_on = !source->abandoned;

	source->bytes_before += channel_bytes_sent(old);
	source->channels[0] = channel;
	g_mutex_unlock(&source->lock);
	channel_destroy(old);
	return go_on || umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
}

/* The target's list of what it lacks, until END, becomes what is to be sent. */
static bool receive_missing(MigrateSource *source, GError **error)
{
	uint64_t *bitmap = source->bitmap;
	Message message;
	const PageRun *runs;
	unsigned n;

	memset(bitmap, 0, bitmap_words(source->space.pages) * sizeof(*bitmap));
	for (;;) {
		if (!channel_receive(source->channels[0], &message, error))
			return false;
		if (message.type == MESSAGE_END)
			return true;
		if (message.type != MESSAGE_MISSING)
			return umbra_fail(
				error, UMBRA_ERROR_INPUT, "a message %s came where %s was due",
				message_name(message.type), message_name(MESSAGE_MISSING));
		if (!page_runs_check(&message, &source->space, &runs, &n, error))
			return false;
		for (unsigned i = 0; i < n; i++)
			for (uint64_t page = runs[i].first; page < runs[i].first + runs[i].n;
			     page++) {
				if (!bitmap_has(source->later, page))
					return umbra_fail(
						error, UMBRA_ERROR_INPUT,
						"the target lacks page %#lx, which was not among "
						"those that come later",
						page);
				bitmap_set(bitmap, page);
			}
	}
}

static bool reconnect(MigrateSource *source, GError **error)
{
	Channel *channel = source_connect(source, error);
	Resume resume;

	memcpy(resume.session, source->session, sizeof(resume.session));
	if (!channel || !replace_channel(source, channel, error) ||
	    !channel_send(channel, MESSAGE_RESUME, &resume, sizeof(resume), error) ||
	    !receive_missing(source, error))
		return false;
	g_mutex_lock(&source->lock);
	source->progress.remaining = bitmap_count(source->bitmap, source->space.pages) * PAGE_SIZE;
	g_mutex_unlock(&source->lock);
	return true;
}

bool postcopy_run(MigrateSource *source, GError **error)
{
	g_autoptr(GError) why = NULL;

	source_set_status(source, MIGRATE_POSTCOPY_ACTIVE, NULL);
	while (!finish(source, &why)) {
		/* A peer that is merely gone hears nothing. */
		if (g_error_matches(why, UMBRA_ERROR, UMBRA_ERROR_INPUT))
			channel_send_failure(source->channels[0], why);
		do {
			channel_cancel(source->channels[0]);
			g_prefix_error(&why, "the guest waits at the target for pages that are "
					     "here; resume the migration: ");
			source_set_status(source, MIGRATE_POSTCOPY_PAUSED, why);
			g_clear_error(&why);
			if (!wait_for_resume(source, error))
				return false;
			source_set_status(source, MIGRATE_POSTCOPY_RECOVER, NULL);
		} while (!reconnect(source, &why));
		source_set_status(source, MIGRATE_POSTCOPY_ACTIVE, NULL);
	}
	return true;
}

bool migrate_source_start_postcopy(MigrateSource *source, GError **error)
{
	g_mutex_lock(&source->lock);
	MigrateStatus status = source->progress.status;

	if (source->postcopy_allowed && status <= MIGRATE_ACTIVE)
		atomic_store(&source->postcopy_wanted, true);
	g_mutex_unlock(&source->lock);
	if (!source->postcopy_allowed)
		return umbra_fail(
			error, UMBRA_ERROR_USAGE,
			"this migration was not prepared for post-copy: set the capability "
			"postcopy-ram before it begins (umbra migrate --postcopy)");
	return status <= MIGRATE_ACTIVE ||
	       umbra_fail(error, UMBRA_ERROR_USAGE,
			  "too late for post-copy: the migration's status is %s",
			  migrate_status_name(status));
}

static bool refuse_status(const char *what, MigrateStatus needed, MigrateStatus status,
			  GError **error)
{
	return umbra_fail(error, UMBRA_ERROR_USAGE,
			  "there is nothing to %s: the migration's status is %s, not %s", what,
			  migrate_status_name(status), migrate_status_name(needed));
}

bool migrate_source_pause(MigrateSource *source, GError **error)
{
	g_mutex_lock(&source->lock);
	MigrateStatus status = source->progress.status;

	if (status == MIGRATE_POSTCOPY_ACTIVE)
		channel_cancel(source->channels[0]);
	g_mutex_unlock(&source->lock);
	return status == MIGRATE_POSTCOPY_ACTIVE ||
	       refuse_status("pause", MIGRATE_POSTCOPY_ACTIVE, status, error);
}

bool migrate_source_resume(MigrateSource *source, const char *uri, const char *tls, GError **error)
{
	g_auto(Address) address = {0};

	if (!address_parse(uri, &address, error) || !address_fits_tls(&address, tls, error))
		return false;
	if (!address_is_reusable(&address))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: use unix:, tcp: or tls:", uri);
	g_mutex_lock(&source->lock);
	MigrateStatus status = source->progress.status;
	bool may = status == MIGRATE_POSTCOPY_PAUSED;

	if (may) {
		source->resume_at = address;
		address = (Address){0};
		source->resume_tls = g_strdup(tls);
		source->resuming = true;
		/* At once: who asks from now on and hears "paused" knows that it failed. */
		source->progress.status = MIGRATE_POSTCOPY_RECOVER;
		g_cond_broadcast(&source->woken);
	}
	g_mutex_unlock(&source->lock);
	return may || refuse_status("resume", MIGRATE_POSTCOPY_PAUSED, status, error);
}
