// SPDX-License-Identifier: MIT
/*
 * The target after the start of a guest by post-copy: what is missing comes, the
 * connection may break and come back, and in the end the source is told that it may go.
 */
#include "migrate/target_internal.h"

#include "base/error.h"

#include <string.h>

static void let_go(void *owner)
{
	const MigrateTarget *target = owner;

	postcopy_let_go(target->postcopy);
}

void target_set_ram(MigrateTarget *target, Machine *machine, MachineRam ram)
{
	machine_set_ram(machine, ram, let_go, target);
}

static void change(MigrateTarget *target, MigrateStatus status, GError *why)
{
	g_mutex_lock(&target->lock);
	g_clear_error(&target->why);
	target->why = why;
	g_mutex_unlock(&target->lock);
	target_set_status(target, status);
	if (target->sink.following)
		target->sink.following(target->sink.owner, status, why);
}

static void replace_channel(MigrateTarget *target, Channel *channel)
{
	target_hang_up(target, 0);
	target->channels[0] = channel;
}

static bool is_ours(const MigrateTarget *target, const Message *message)
{
	return message->type == MESSAGE_RESUME && message->size == sizeof(Resume) &&
	       memcmp(message->payload, target->hello.session, SESSION_SIZE) == 0;
}

/* True: pages come again. Strangers are sent away. */
static bool try_resume(MigrateTarget *target, Channel *channel, const Message *message)
{
	g_autoptr(GError) error = NULL;

	if (is_ours(target, message))
		return postcopy_resume(target->postcopy, channel, &error);
	if (message->type == MESSAGE_WHO)
		target_answer(target, channel, message, OWNER_TARGET, &error);
	else if (message->type == MESSAGE_RESUME)
		umbra_fail(&error, UMBRA_ERROR_INPUT,
			   "another migration's guest waits here, not this one's");
	else
		umbra_fail(&error, UMBRA_ERROR_INPUT, "a message %s came where %s was due",
			   message_name(message->type), message_name(MESSAGE_RESUME));
	if (error)
		channel_send_failure(channel, error);
	return false;
}

/* False: nobody will come any more. */
static bool wait_for_source(MigrateTarget *target)
{
	for (;;) {
		Message message;
		bool go_on;
		Channel *channel = target_greet(target, -1, &message, &go_on, NULL);

		if (!channel && !go_on)
			return false;
		if (!channel)
			continue;
		if (try_resume(target, channel, &message)) {
			replace_channel(target, channel);
			return true;
		}
		target_forget(target, channel);
		channel_destroy(channel);
	}
}

static void say_paused(MigrateTarget *target, GError *why)
{
	g_prefix_error(&why, "the guest waits for pages that are at the source; resume the "
			     "migration there: ");
	target_set_ram(target, target->given, MACHINE_RAM_STUCK);
	change(target, MIGRATE_POSTCOPY_PAUSED, why);
}

void target_follow(MigrateTarget *target)
{
	bool complete = false;

	(void)postcopy_send(target->postcopy, MESSAGE_STARTED, NULL, 0, NULL);
	for (;;) {
		GError *why = NULL;

		switch (postcopy_wait(target->postcopy, &why)) {
		case POSTCOPY_ALL_HERE:
			complete = true;
			machine_set_ram(target->given, MACHINE_RAM_HERE, NULL, NULL);
			postcopy_release(target->postcopy);
			change(target, MIGRATE_COMPLETED, NULL);
			(void)postcopy_send(target->postcopy, MESSAGE_COMPLETE, NULL, 0, NULL);
			continue;
		case POSTCOPY_FAREWELL:
			target_hang_up(target, 0);
			return;
		case POSTCOPY_BROKEN:
			break;
		}
		/* A source that has not heard COMPLETE comes once more. */
		if (complete)
			g_clear_error(&why);
		else
			say_paused(target, why);
		channel_cancel(target->channels[0]);
		if (!wait_for_source(target))
			return;
		if (complete)
			continue;
		target_set_ram(target, target->given, MACHINE_RAM_COMING);
		change(target, MIGRATE_POSTCOPY_ACTIVE, NULL);
	}
}
