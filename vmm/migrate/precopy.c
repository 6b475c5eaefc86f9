// SPDX-License-Identifier: MIT
/*
 * Rounds over RAM while the guest runs: first all of it, then what the guest wrote
 * meanwhile, until what is left takes no longer than the guest may stand still. A guest
 * that writes faster than pages go is slowed down.
 */
#include "migrate/source_internal.h"

#include "base/error.h"
#include "machine/throttle.h"
#include "mem/presence.h"

/* A shorter round says little about how fast pages go. */
#define MEASURABLE (4u << 20) /* bytes */
/* Fewer pages are sent by this thread alone. */
#define WORTH_THREADS 2048u
#define ALIVE_US      (1000 * 1000)

/* One channel's share of a round. */
typedef struct Share {
	MigrateSource *source;
	unsigned index;
	const atomic_bool *stop;
	GThread *thread;
	bool done;
	GError *error;
	struct Shares *all;
} Share;

typedef struct Shares {
	GMutex lock;
	GCond changed;
	unsigned running;
	Share share[CHANNELS_MAX];
} Shares;

static bool send_share(MigrateSource *source, unsigned index, const atomic_bool *stop,
		       GError **error)
{
	PageSender sender = {
		.channel = source->channels[index],
		.space = source->space,
		.bitmap = source->bitmap,
		.index = index,
		.channels = source->n_channels,
		.stop = stop,
		.still = source->held,
		.counts = &source->counts,
	};

	return pages_send(&sender, error);
}

static void *share_thread(void *argument)
{
	Share *share = argument;

	share->done = send_share(share->source, share->index, share->stop, &share->error);
	g_mutex_lock(&share->all->lock);
	share->all->running--;
	g_cond_signal(&share->all->changed);
	g_mutex_unlock(&share->all->lock);
	return NULL;
}

/* While only other channels have something to send, the first one must not seem dead. */
static bool wait_for_shares(MigrateSource *source, Shares *shares, GError **error)
{
	bool alive = true;

	g_mutex_lock(&shares->lock);
	while (shares->running > 0) {
		gint64 until = g_get_monotonic_time() + ALIVE_US;

		if (g_cond_wait_until(&shares->changed, &shares->lock, until) || !alive)
			continue;
		g_mutex_unlock(&shares->lock);
		alive = channel_send(source->channels[0], MESSAGE_ALIVE, NULL, 0, error);
		for (unsigned i = 0; !alive && i < source->n_channels; i++)
			channel_cancel(source->channels[i]);
		g_mutex_lock(&shares->lock);
	}
	g_mutex_unlock(&shares->lock);
	return alive;
}

static bool send_by_threads(MigrateSource *source, const atomic_bool *stop, GError **error)
{
	Shares shares = {.running = source->n_channels - 1};
	bool done;

	g_mutex_init(&shares.lock);
	g_cond_init(&shares.changed);
	for (unsigned i = 1; i < source->n_channels; i++) {
		shares.share[i] =
			(Share){.source = source, .index = i, .stop = stop, .all = &shares};
		shares.share[i].thread = g_thread_new("pages", share_thread, &shares.share[i]);
	}
	done = send_share(source, 0, stop, error);
	for (unsigned i = 1; !done && i < source->n_channels; i++)
		channel_cancel(source->channels[i]);
	if (!wait_for_shares(source, &shares, done ? error : NULL))
		done = false;
	for (unsigned i = 1; i < source->n_channels; i++) {
		g_thread_join(shares.share[i].thread);
		if (done && !shares.share[i].done) {
			g_propagate_error(error, g_steal_pointer(&shares.share[i].error));
			done = false;
		}
		g_clear_error(&shares.share[i].error);
	}
	g_mutex_clear(&shares.lock);
	g_cond_clear(&shares.changed);
	return done;
}

bool source_send_pages(MigrateSource *source, const atomic_bool *stop, GError **error)
{
	if (source->n_channels > 1 &&
	    bitmap_count(source->bitmap, source->space.pages) >= WORTH_THREADS)
		return send_by_threads(source, stop, error);
	for (unsigned i = 0; i < source->n_channels; i++)
		if (!send_share(source, i, stop, error))
			return false;
	return true;
}

static uint64_t bytes_sent(const MigrateSource *source)
{
	uint64_t sent = 0;

	for (unsigned i = 0; i < source->n_channels; i++)
		sent += channel_bytes_sent(source->channels[i]);
	return sent;
}

/* What the guest has written since the last time, added to what `bitmap` still has. */
static bool take_dirty(MigrateSource *source, GError **error)
{
	g_autofree uint64_t *written = NULL;

	if (!machine_dirty_collect(source->machine, error))
		return false;
	written = dirty_set_take(source->dirty);
	for (size_t i = 0; i < bitmap_words(source->space.pages); i++)
		source->bitmap[i] |= written[i];
	return true;
}

/* One more step against a guest that dirties half of what a round sends, or more. */
static void slow_down(MigrateSource *source, const MigrateParameters *parameters)
{
	unsigned to = source->throttle ? source->throttle + parameters->throttle_increment
				       : parameters->throttle_initial;

	source->throttle = MIN(to, parameters->throttle_max);
	machine_throttle(source->machine, source->throttle);
}

typedef struct Round {
	uint64_t number;
	uint64_t sent;	    /* bytes */
	int64_t duration;   /* µs */
	uint64_t remaining; /* bytes dirty after it */
	uint64_t bandwidth; /* bytes per second; of the last round that was long enough */
	unsigned crowded;   /* rounds in a row after which too much was dirty */
} Round;

static void publish(MigrateSource *source, const Round *round)
{
	g_mutex_lock(&source->lock);
	source->progress.rounds = round->number;
	source->progress.remaining = round->remaining;
	source->progress.bandwidth = round->bandwidth;
	source->progress.throttle = source->throttle;
	source->progress.dirty_pages_rate =
		round->remaining / PAGE_SIZE * G_USEC_PER_SEC / (uint64_t)MAX(round->duration, 1);
	source->progress.expected_downtime_ms = round->remaining * 1000 / MAX(round->bandwidth, 1);
	g_mutex_unlock(&source->lock);
	source->sink.changed(source->sink.owner);
}

static bool run_round(MigrateSource *source, Round *round, GError **error)
{
	uint64_t before = bytes_sent(source);
	int64_t began = g_get_monotonic_time();

	if (!source_send_pages(source, &source->postcopy_wanted, error) ||
	    !take_dirty(source, error))
		return false;
	round->number++;
	round->duration = g_get_monotonic_time() - began;
	round->sent = bytes_sent(source) - before;
	round->remaining = bitmap_count(source->bitmap, source->space.pages) * PAGE_SIZE;
	if (round->sent >= MEASURABLE || round->bandwidth == 0)
		round->bandwidth = MAX(round->sent, PAGE_SIZE) * G_USEC_PER_SEC /
				   (uint64_t)MAX(round->duration, 1);
	round->crowded = round->remaining >= round->sent / 2 ? round->crowded + 1 : 0;
	publish(source, round);
	return true;
}

static bool is_small_enough(const Round *round, const MigrateParameters *parameters)
{
	return round->remaining * 1000 / MAX(round->bandwidth, 1) <= parameters->downtime_limit_ms;
}

static bool is_time_for_postcopy(MigrateSource *source, const Round *round,
				 const MigrateParameters *parameters)
{
	if (source->postcopy_allowed && parameters->postcopy_after &&
	    round->number >= parameters->postcopy_after)
		atomic_store(&source->postcopy_wanted, true);
	return atomic_load(&source->postcopy_wanted);
}

bool precopy_run(MigrateSource *source, GError **error)
{
	Round round = {0};

	source->bitmap = memory_presence(machine_memory(source->machine));
	for (;;) {
		if (!run_round(source, &round, error))
			return false;
		MigrateParameters parameters = source_parameters(source);

		if (is_small_enough(&round, &parameters) ||
		    is_time_for_postcopy(source, &round, &parameters))
			break;
		if (round.crowded >= 2 && parameters.throttle_max > 0) {
			slow_down(source, &parameters);
			round.crowded = 0;
		}
	}
	if (!source_hold(source, error))
		return false;
	g_mutex_lock(&source->lock);
	source->progress.downtime.stop = (uint64_t)(g_get_monotonic_time() - source->held_at);
	g_mutex_unlock(&source->lock);
	return take_dirty(source, error);
}
