// SPDX-License-Identifier: MIT
/*
 * From the guest that stands still here to the one that runs there. Until GO is on its
 * way, every failure leaves the guest here. After that, who has it is settled by the
 * word both sides share (owner.h), or else by asking.
 */
#include "migrate/source_internal.h"

#include "base/error.h"
#include "snapshot/state_tree.h"

#include <string.h>

/* How long, in multiples of the peer's patience, and how often the target is asked. */
#define ASK_PATIENCES 2
#define ASK_AGAIN_US  (200 * 1000)

/* Notes how long a part of the stop took. */
typedef struct Watch {
	MigrateSource *source;
	int64_t since;
} Watch;

static void lap(Watch *watch, uint64_t *part)
{
	int64_t now = g_get_monotonic_time();

	g_mutex_lock(&watch->source->lock);
	*part = (uint64_t)(now - watch->since);
	g_mutex_unlock(&watch->source->lock);
	watch->since = now;
}

static bool send_last_pages(MigrateSource *source, GError **error)
{
	bool postcopy = atomic_load(&source->postcopy_wanted);

	if (!(postcopy ? postcopy_announce(source, error) : source_send_pages(source, NULL, error)))
		return false;
	for (unsigned i = 0; i < source->n_channels; i++)
		if (!channel_send(source->channels[i], MESSAGE_END, NULL, 0, error))
			return false;
	return true;
}

static bool send_state(MigrateSource *source, GError **error)
{
	g_autoptr(MachineState) state = machine_save(source->machine, error);
	g_autoptr(GBytes) tree = state ? state_tree_write(state, error) : NULL;
	const void *bytes;
	gsize size;

	if (!tree)
		return false;
	bytes = g_bytes_get_data(tree, &size);
	return channel_send(source->channels[0], MESSAGE_STATE, bytes, size, error);
}

static void set_question(MigrateSource *source, Channel *channel)
{
	g_mutex_lock(&source->lock);
	source->question = channel;
	g_mutex_unlock(&source->lock);
}

/* One question. False: no answer. */
static bool ask(MigrateSource *source, OwnerSide *ret_side)
{
	g_autoptr(Channel) channel = source_connect(source, NULL);
	Message message;
	Answer answer;

	if (!channel)
		return false;
	set_question(source, channel);
	bool answered = !source_is_cancelled(source) &&
			channel_send(channel, MESSAGE_WHO, source->session, sizeof(source->session),
				     NULL) &&
			channel_expect(channel, MESSAGE_OWNER, &message, NULL) &&
			message_copy(&message, &answer, sizeof(answer), NULL) &&
			(answer.side == OWNER_SOURCE || answer.side == OWNER_TARGET);

	set_question(source, NULL);
	if (answered)
		*ret_side = answer.side;
	return answered;
}

/* The connection broke after GO. */
static Handover settle(MigrateSource *source, GError **error)
{
	int64_t until = g_get_monotonic_time() +
			(int64_t)source_parameters(source).patience_ms * 1000 * ASK_PATIENCES;
	OwnerSide side;

	if (source->shares_owner)
		return owner_claim(source->owner, OWNER_SOURCE) ? HANDOVER_FAILED : HANDOVER_DONE;
	/* A target that still waits for something here could not answer. */
	channel_cancel(source->channels[0]);
	while (address_is_reusable(&source->address)) {
		if (ask(source, &side))
			return side == OWNER_TARGET ? HANDOVER_DONE : HANDOVER_FAILED;
		if (g_get_monotonic_time() >= until || source_is_cancelled(source))
			break;
		g_usleep(ASK_AGAIN_US);
	}
	g_prefix_error(error, "the connection broke while the guest was handed over, and the "
			      "target does not answer: it runs there or nowhere, and is kept "
			      "paused here; resume it only if it does not run there: ");
	return HANDOVER_UNKNOWN;
}

/*
 * From here on, in post-copy, the guest may need both processes: nobody cancels any more. False:
 * somebody has.
 */
static bool commit(MigrateSource *source, GError **error)
{
	g_mutex_lock(&source->lock);
	bool may = !source->cancelled;

	source->progress.committed = may && source->later;
	g_mutex_unlock(&source->lock);
	return may || umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
}

static Handover hand_over(MigrateSource *source, Watch *watch, GError **error)
{
	MigrateDowntime *downtime = &source->progress.downtime;
	Go go = {.running = machine_is_running(source->machine)};
	g_autoptr(GError) why = NULL;
	Channel *channel = source->channels[0];
	Handover result = HANDOVER_DONE;
	Message message;

	if (!channel_send(channel, MESSAGE_GO, &go, sizeof(go), &why) ||
	    !source_expect(source, MESSAGE_STARTED, &message, &why))
		result = settle(source, &why);
	else if (!source->later)
		/* The target need not wait for questions any more. */
		(void)channel_send(channel, MESSAGE_END, NULL, 0, NULL);
	lap(watch, &downtime->start);
	g_mutex_lock(&source->lock);
	downtime->total = (uint64_t)(watch->since - source->held_at);
	if (result == HANDOVER_DONE && !source->later)
		source->progress.remaining = 0;
	g_mutex_unlock(&source->lock);
	if (result != HANDOVER_DONE)
		g_propagate_error(error, g_steal_pointer(&why));
	else if (!source->later)
		channel_part(channel);
	return result;
}

static void note_devices(MigrateSource *source, const Message *message)
{
	Ready ready = {0};

	(void)message_copy(message, &ready, sizeof(ready), NULL);
	g_mutex_lock(&source->lock);
	source->progress.downtime.devices = machine_devices_us(source->machine) + ready.devices_us;
	g_mutex_unlock(&source->lock);
}

Handover handover_run(MigrateSource *source, GError **error)
{
	MigrateDowntime *downtime = &source->progress.downtime;
	Watch watch = {.source = source, .since = g_get_monotonic_time()};
	Message message;

	rate_limit_set(source->limit, 0);
	if (!send_last_pages(source, error))
		return HANDOVER_FAILED;
	lap(&watch, &downtime->pages);
	if (!send_state(source, error))
		return HANDOVER_FAILED;
	lap(&watch, &downtime->state);
	if (!source_expect(source, MESSAGE_READY, &message, error))
		return HANDOVER_FAILED;
	lap(&watch, &downtime->load);
	note_devices(source, &message);
	return commit(source, error) ? hand_over(source, &watch, error) : HANDOVER_FAILED;
}
