// SPDX-License-Identifier: MIT
/* RAM comes in, on all channels at once. */
#include "migrate/target_internal.h"

#include "base/error.h"

typedef struct Receiver {
	MigrateTarget *target;
	unsigned index;
	GThread *thread;
	bool done;
	GError *error;
} Receiver;

bool target_adopt(MigrateTarget *target, Channel *channel, GError **error)
{
	g_mutex_lock(&target->lock);
	bool may = !target->cancelled;

	if (may)
		g_ptr_array_add(target->open, channel);
	g_mutex_unlock(&target->lock);
	return may || umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
}

void target_forget(MigrateTarget *target, Channel *channel)
{
	g_mutex_lock(&target->lock);
	g_ptr_array_remove_fast(target->open, channel);
	g_mutex_unlock(&target->lock);
}

void target_hang_up(MigrateTarget *target, unsigned index)
{
	if (!target->channels[index])
		return;
	target_forget(target, target->channels[index]);
	g_clear_pointer(&target->channels[index], channel_destroy);
}

void target_cancel(MigrateTarget *target)
{
	door_cancel(target->door);
	g_mutex_lock(&target->lock);
	target->cancelled = true;
	for (unsigned i = 0; i < target->open->len; i++)
		channel_cancel(target->open->pdata[i]);
	g_mutex_unlock(&target->lock);
}

static bool take_later(MigrateTarget *target, const PageSpace *space, const Message *message,
		       GError **error)
{
	g_mutex_lock(&target->lock);
	if (!target->postcopy)
		target->postcopy = postcopy_create(space);
	g_mutex_unlock(&target->lock);
	return postcopy_take_later(target->postcopy, message, error);
}

static bool receive_until_end(MigrateTarget *target, unsigned index, GError **error)
{
	const GuestMemory *memory = machine_memory(target->machine);
	PageSink sink = {
		.space = {.bytes = memory->base, .pages = memory->size / PAGE_SIZE},
		.written = target->written,
		.index = index,
		.channels = target->hello.channels,
	};
	Channel *channel = target->channels[index];
	Message message;

	for (;;) {
		if (!channel_receive(channel, &message, error))
			return false;
		if (message.type == MESSAGE_END)
			return true;
		if (message.type == MESSAGE_LATER && index == 0 &&
		    target->hello.flags & HELLO_POSTCOPY) {
			if (!take_later(target, &sink.space, &message, error))
				return false;
			continue;
		}
		if (message.type != MESSAGE_RAM)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "a message %s came among the pages",
					  message_name(message.type));
		if (!pages_receive(channel, &message, &sink, error))
			return false;
	}
}

static void cancel_all(MigrateTarget *target)
{
	for (unsigned i = 0; i < target->hello.channels; i++)
		channel_cancel(target->channels[i]);
}

static void *receiver_thread(void *argument)
{
	Receiver *receiver = argument;

	receiver->done = receive_until_end(receiver->target, receiver->index, &receiver->error);
	if (!receiver->done)
		cancel_all(receiver->target);
	return NULL;
}

bool target_receive_ram(MigrateTarget *target, GError **error)
{
	unsigned n = target->hello.channels;
	g_autofree Receiver *receivers = g_new0(Receiver, n);
	g_autoptr(GError) cause = NULL;
	bool done;

	for (unsigned i = 1; i < n; i++) {
		receivers[i] = (Receiver){.target = target, .index = i};
		receivers[i].thread = g_thread_new("pages", receiver_thread, &receivers[i]);
	}
	done = receive_until_end(target, 0, &cause);
	if (!done)
		for (unsigned i = 1; i < n; i++)
			channel_cancel(target->channels[i]);
	for (unsigned i = 1; i < n; i++) {
		g_thread_join(receivers[i].thread);
		if (!receivers[i].done && (done || g_strcmp0(cause->message, "cancelled") == 0)) {
			/* The first channel was cancelled because of this one. */
			g_clear_error(&cause);
			cause = g_steal_pointer(&receivers[i].error);
			done = false;
		}
		g_clear_error(&receivers[i].error);
	}
	if (!done)
		g_propagate_error(error, g_steal_pointer(&cause));
	/* They were for RAM before the start alone. */
	for (unsigned i = 1; done && i < n; i++)
		target_hang_up(target, i);
	return done;
}
