// SPDX-License-Identifier: MIT
/* The life of a migration's target: who comes, is it for us, take it in, run it. */
#include "migrate/target_internal.h"

#include "base/error.h"
#include "snapshot/state_tree.h"

#include <string.h>

void target_set_status(MigrateTarget *target, MigrateStatus status)
{
	atomic_store(&target->status, status);
}

bool target_answer(const MigrateTarget *target, Channel *channel, const Message *message,
		   OwnerSide side, GError **error)
{
	Answer reply = {.side = side};

	if (message->type != MESSAGE_WHO)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s came where %s was due",
				  message_name(message->type), message_name(MESSAGE_HELLO));
	if (message->size != SESSION_SIZE ||
	    memcmp(message->payload, target->hello.session, SESSION_SIZE) != 0)
		reply.side = OWNER_NOBODY;
	return channel_send(channel, MESSAGE_OWNER, &reply, sizeof(reply), error);
}

Channel *target_greet(MigrateTarget *target, int patience_ms, Message *ret_message, bool *ret_go_on,
		      GError **error)
{
	g_autoptr(Channel) channel =
		door_greet(target->door, patience_ms, ret_message, ret_go_on, error);

	if (channel && !target_adopt(target, channel, error)) {
		*ret_go_on = false;
		return NULL;
	}
	return g_steal_pointer(&channel);
}

/* The next connection with a guest for which there is room; NULL: none will come. */
static Channel *wait_for_source(MigrateTarget *target, GError **error)
{
	for (;;) {
		g_autoptr(GError) why = NULL;
		Message message;
		bool go_on;
		Channel *channel = target_greet(target, -1, &message, &go_on, &why);

		if (channel && message.type == MESSAGE_HELLO) {
			if (target_judge(target, channel, &message, &why))
				return channel;
			if (why)
				channel_send_failure(channel, why);
		} else if (channel &&
			   !target_answer(target, channel, &message, OWNER_NOBODY, &why)) {
			channel_send_failure(channel, why);
		}
		if (channel) {
			target_forget(target, channel);
			channel_destroy(channel);
		}
		if (!go_on) {
			g_propagate_error(error, g_steal_pointer(&why));
			return NULL;
		}
		if (why)
			target->sink.refused(target->sink.owner, why);
	}
}

/* Until every channel of the session is there. Strangers are sent away. */
static bool collect_channels(MigrateTarget *target, GError **error)
{
	unsigned missing = target->hello.channels - 1;

	while (missing > 0) {
		Message message;
		bool go_on;
		Join join;
		Channel *channel =
			target_greet(target, (int)target->patience_ms, &message, &go_on, error);

		if (!channel && !go_on)
			return false;
		if (channel && message.type == MESSAGE_JOIN &&
		    message_copy(&message, &join, sizeof(join), NULL) &&
		    memcmp(join.session, target->hello.session, SESSION_SIZE) == 0 &&
		    join.index >= 1 && join.index < target->hello.channels &&
		    !target->channels[join.index]) {
			target->channels[join.index] = channel;
			missing--;
			continue;
		}
		g_clear_error(error);
		if (channel) {
			target_forget(target, channel);
			channel_destroy(channel);
		}
	}
	return channel_send(target->channels[0], MESSAGE_JOINED, NULL, 0, error);
}

/* The machine that arrived is the one that was announced. */
static bool check_outline(const MachineState *announced, const MachineState *state, GError **error)
{
	size_t cpuid = sizeof(*state->cpuid) +
		       announced->cpuid->nent * sizeof(announced->cpuid->entries[0]);

	if (state->memory != announced->memory || state->vcpus->len != announced->vcpus->len ||
	    state->cpuid->nent != announced->cpuid->nent ||
	    memcmp(state->cpuid, announced->cpuid, cpuid) != 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "the guest that arrived is not the one that was announced");
	return true;
}

static bool expect(MigrateTarget *target, MessageType type, Message *ret_message, GError **error)
{
	return target->postcopy ? postcopy_expect(target->postcopy, type, ret_message, error)
				: channel_expect(target->channels[0], type, ret_message, error);
}

static bool send_ready(MigrateTarget *target, GError **error)
{
	const Ready ready = {.devices_us = machine_devices_us(target->machine)};

	return target->postcopy ? postcopy_send(target->postcopy, MESSAGE_READY, &ready,
						sizeof(ready), error)
				: channel_send(target->channels[0], MESSAGE_READY, &ready,
					       sizeof(ready), error);
}

static bool take_state(MigrateTarget *target, GError **error)
{
	g_autoptr(MachineState) state = NULL;
	Message message;

	if (!expect(target, MESSAGE_STATE, &message, error))
		return false;
	state = state_tree_read(message.payload, message.size, error);
	return state && check_outline(target->outline, state, error) &&
	       target_check(target, state, error) &&
	       machine_load(target->machine, state, MACHINE_CLOCK_GOES_ON, error) &&
	       machine_start(target->machine, true, error) && send_ready(target, error);
}

/* From here on the guest may be ours: see owner.h. */
static bool take_over(MigrateTarget *target, GError **error)
{
	Message message;
	Go go;

	if (!expect(target, MESSAGE_GO, &message, error) ||
	    !message_copy(&message, &go, sizeof(go), error))
		return false;
	if (target->owner && !owner_claim(target->owner, OWNER_TARGET))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "the source took its guest back");
	if (target->postcopy)
		target_set_ram(target, target->machine, MACHINE_RAM_COMING);
	/* It runs as soon as it is let go: see run(). */
	target->held = machine_hold(target->machine);
	if (go.running)
		machine_resume(target->machine);
	return true;
}

/* Answers questions until there is nobody left who could have one. */
static void answer_until(MigrateTarget *target, OwnerSide side, int64_t until)
{
	for (;;) {
		int64_t left = until < 0 ? -1 : (until - g_get_monotonic_time()) / 1000;
		Message message;
		bool go_on;

		if (until >= 0 && left <= 0)
			return;
		Channel *channel = target_greet(target, (int)left, &message, &go_on, NULL);

		if (!channel && !go_on)
			return;
		if (!channel)
			continue;
		bool asked = target_answer(target, channel, &message, side, NULL);

		target_forget(target, channel);
		channel_destroy(channel);
		if (asked && side == OWNER_SOURCE)
			return;
	}
}

static void confirm(MigrateTarget *target)
{
	Message message;
	bool done = channel_send(target->channels[0], MESSAGE_STARTED, NULL, 0, NULL) &&
		    channel_expect(target->channels[0], MESSAGE_END, &message, NULL);

	target_hang_up(target, 0);
	/* The source does not know, unless both share the word. */
	if (!done && !target->owner)
		answer_until(target, OWNER_TARGET, -1);
}

/* True: the guest is here. */
static bool receive(MigrateTarget *target, GError **error)
{
	bool loaded = collect_channels(target, error) && target_receive_ram(target, error) &&
		      (!target->postcopy ||
		       postcopy_begin(target->postcopy, target->channels[0], error)) &&
		      take_state(target, error);

	if (!loaded)
		return false;
	target_set_status(target, MIGRATE_DEVICE);
	if (take_over(target, error))
		return true;
	/* Unless it has given up, it may have sent a GO that never came, and then asks. */
	if (!target->owner && !channel_peer_gave_up(target->channels[0]))
		answer_until(target, OWNER_SOURCE,
			     g_get_monotonic_time() + 4000 * (int64_t)target->patience_ms);
	return false;
}

/* The guest of a broken hand-over: those who wait for pages of it are let go first. */
static void drop_machine(MigrateTarget *target)
{
	if (target->postcopy)
		channel_cancel(target->channels[0]);
	if (target->machine)
		machine_set_ram(target->machine, MACHINE_RAM_HERE, NULL, NULL);
	g_mutex_lock(&target->lock);
	g_clear_pointer(&target->postcopy, postcopy_destroy);
	g_mutex_unlock(&target->lock);
	g_clear_pointer(&target->machine, machine_destroy);
}

static void run(MigrateTarget *target)
{
	target->given = g_steal_pointer(&target->machine);
	target_set_status(target, target->postcopy ? MIGRATE_POSTCOPY_ACTIVE : MIGRATE_COMPLETED);
	/*
	 * First the word that it is here, which costs microseconds: where processors are scarce,
	 * who is to hear it would else wait until the guest has had its turn.
	 */
	target->sink.started(target->sink.owner, target->given);
	if (target->held)
		machine_release(target->given);
	if (target->postcopy)
		target_follow(target);
	else
		confirm(target);
}

static void *target_thread(void *argument)
{
	MigrateTarget *target = argument;
	g_autoptr(GError) error = NULL;
	Channel *channel = wait_for_source(target, &error);

	if (!channel) {
		target_set_status(target, MIGRATE_FAILED);
		target->sink.failed(target->sink.owner, error);
		return NULL;
	}
	target_set_status(target, MIGRATE_ACTIVE);
	target->channels[0] = channel;
	if (!receive(target, &error)) {
		if (!target->postcopy || !postcopy_send_failure(target->postcopy, error))
			channel_send_failure(channel, error);
		target_set_status(target, MIGRATE_FAILED);
		drop_machine(target);
		target->sink.failed(target->sink.owner, error);
		return NULL;
	}
	run(target);
	return NULL;
}

MigrateTarget *migrate_target_start(const MigrateTargetConfig *config, GError **error)
{
	g_auto(Address) address = {0};
	Listener *listener;

	if (!address_parse(config->uri, &address, error))
		return NULL;
	listener = listener_create(&address, config->tls, config->allow_remote, error);
	if (!listener)
		return NULL;
	MigrateTarget *target = g_new0(MigrateTarget, 1);

	target->door = door_create(listener, config->patience_ms);
	target->patience_ms = config->patience_ms;
	target->config = config->machine;
	target->machine_sink = config->machine_sink;
	target->sink = config->sink;
	target->status = MIGRATE_SETUP;
	target->open = g_ptr_array_new();
	g_mutex_init(&target->lock);
	target->thread = g_thread_new("migrate", target_thread, target);
	return target;
}

void migrate_target_destroy(MigrateTarget *target)
{
	if (!target)
		return;
	/* A guest that has ended needs nothing more: that the source need not wait for. */
	if (target->given && target->postcopy && machine_has_ended(target->given))
		(void)postcopy_send(target->postcopy, MESSAGE_COMPLETE, NULL, 0, NULL);
	target_cancel(target);
	g_thread_join(target->thread);
	if (target->given && migrate_status_is_postcopy(migrate_target_status(target)))
		machine_set_ram(target->given, MACHINE_RAM_STUCK, NULL, NULL);
	postcopy_destroy(target->postcopy);
	g_clear_error(&target->why);
	for (unsigned i = 0; i < CHANNELS_MAX; i++)
		channel_destroy(target->channels[i]);
	machine_destroy(target->machine);
	door_destroy(target->door);
	machine_state_destroy(target->outline);
	owner_destroy(target->owner);
	g_ptr_array_unref(target->open);
	g_mutex_clear(&target->lock);
	g_free(target->written);
	g_free(target);
}

unsigned migrate_target_port(const MigrateTarget *target)
{
	return listener_port(door_listener(target->door));
}

MigrateStatus migrate_target_status(const MigrateTarget *target)
{
	return atomic_load(&target->status);
}

void migrate_target_query(MigrateTarget *target, MigrateProgress *ret_progress)
{
	*ret_progress = (MigrateProgress){.status = migrate_target_status(target)};
	g_mutex_lock(&target->lock);
	ret_progress->error = target->why ? g_strdup(target->why->message) : NULL;
	if (target->postcopy) {
		postcopy_query(target->postcopy, &ret_progress->remaining,
			       &ret_progress->postcopy_requests);
		ret_progress->remaining *= PAGE_SIZE;
	}
	g_mutex_unlock(&target->lock);
}
