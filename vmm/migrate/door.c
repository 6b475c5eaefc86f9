// SPDX-License-Identifier: MIT
#include "migrate/door.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Newcomer {
	struct Door *door;
	GThread *thread;
	int accepted;	  /* what the thread waits for ends when this is shut down */
	int fd;		  /* the thread's */
	Channel *channel; /* NULL: there was no sense in it */
	Message message;
	GError *error;
	bool sent_away;
} Newcomer;

struct Door {
	Listener *listener;
	unsigned patience_ms;
	int ready; /* eventfd: somebody is in `heard` */

	GMutex lock;   /* of all that follows */
	GCond moved;   /* somebody is in `heard`, for door_destroy() */
	GQueue silent; /* of Newcomer, who came first in front */
	GQueue heard;
	bool cancelled;
};

/* With the door's lock held. */
static void send_away(Newcomer *newcomer)
{
	newcomer->sent_away = true;
	shutdown(newcomer->accepted, SHUT_RDWR);
}

static void newcomer_destroy(Newcomer *newcomer)
{
	g_thread_join(newcomer->thread);
	channel_destroy(newcomer->channel);
	close(newcomer->accepted);
	g_clear_error(&newcomer->error);
	g_free(newcomer);
}

static void *listen_to(void *argument)
{
	Newcomer *newcomer = argument;
	Door *door = newcomer->door;
	int fd = listener_secure(door->listener, newcomer->fd, &newcomer->error);
	uint64_t one = 1;

	newcomer->channel = fd < 0 ? NULL : channel_create(fd, door->patience_ms, NULL);
	if (newcomer->channel &&
	    !channel_receive(newcomer->channel, &newcomer->message, &newcomer->error))
		g_clear_pointer(&newcomer->channel, channel_destroy);
	g_mutex_lock(&door->lock);
	g_queue_remove(&door->silent, newcomer);
	g_queue_push_tail(&door->heard, newcomer);
	(void)!write(door->ready, &one, sizeof(one));
	g_cond_signal(&door->moved);
	g_mutex_unlock(&door->lock);
	return NULL;
}

static bool let_in(Door *door, int fd, GError **error)
{
	Newcomer *newcomer = g_new0(Newcomer, 1);

	newcomer->door = door;
	newcomer->fd = fd;
	newcomer->accepted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (newcomer->accepted < 0) {
		umbra_fail_errno(error, errno, "cannot take a connection");
		close(fd);
		g_free(newcomer);
		return false;
	}
	g_mutex_lock(&door->lock);
	if (g_queue_get_length(&door->silent) >= DOOR_NEWCOMERS_MAX)
		send_away(g_queue_peek_head(&door->silent));
	g_queue_push_tail(&door->silent, newcomer);
	if (door->cancelled)
		send_away(newcomer);
	newcomer->thread = g_thread_new("newcomer", listen_to, newcomer);
	g_mutex_unlock(&door->lock);
	return true;
}

/* *ret_heard is who has been heard, NULL if nobody has. False: nobody is there at all. */
static bool look(Door *door, Newcomer **ret_heard)
{
	uint64_t count;

	g_mutex_lock(&door->lock);
	(void)!read(door->ready, &count, sizeof(count));
	*ret_heard = g_queue_pop_head(&door->heard);
	bool anybody = *ret_heard || g_queue_get_length(&door->silent) > 0;

	g_mutex_unlock(&door->lock);
	return anybody;
}

static Channel *introduce(Newcomer *newcomer, Message *ret_message, GError **error)
{
	Channel *channel = g_steal_pointer(&newcomer->channel);

	*ret_message = newcomer->message;
	if (newcomer->error && newcomer->sent_away)
		umbra_fail(error, UMBRA_ERROR_FAILED, "it said nothing while others came");
	else if (newcomer->error)
		g_propagate_error(error, g_steal_pointer(&newcomer->error));
	newcomer_destroy(newcomer);
	return channel;
}

static int time_left(gint64 until)
{
	return until < 0 ? -1 : (int)MAX((until - g_get_monotonic_time()) / 1000, 0);
}

Channel *door_greet(Door *door, int patience_ms, Message *ret_message, bool *ret_go_on,
		    GError **error)
{
	gint64 until = patience_ms < 0 ? -1 : g_get_monotonic_time() + patience_ms * (gint64)1000;
	Newcomer *heard;

	for (;;) {
		bool anybody = look(door, &heard);

		*ret_go_on = true;
		if (heard)
			return introduce(heard, ret_message, error);
		int fd = listener_accept(door->listener, anybody ? door->ready : -1,
					 time_left(until), ret_go_on, error);

		if (fd >= 0 ? !let_in(door, fd, error) : !*ret_go_on)
			return NULL;
	}
}

void door_cancel(Door *door)
{
	g_mutex_lock(&door->lock);
	door->cancelled = true;
	for (GList *each = door->silent.head; each; each = each->next)
		send_away(each->data);
	g_mutex_unlock(&door->lock);
	listener_cancel(door->listener);
}

const Listener *door_listener(const Door *door)
{
	return door->listener;
}

Door *door_create(Listener *listener, unsigned patience_ms)
{
	Door *door = g_new0(Door, 1);

	door->listener = listener;
	door->patience_ms = patience_ms;
	door->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g_mutex_init(&door->lock);
	g_cond_init(&door->moved);
	return door;
}

void door_destroy(Door *door)
{
	Newcomer *each;

	if (!door)
		return;
	door_cancel(door);
	g_mutex_lock(&door->lock);
	while (g_queue_get_length(&door->silent) > 0)
		g_cond_wait(&door->moved, &door->lock);
	g_mutex_unlock(&door->lock);
	while ((each = g_queue_pop_head(&door->heard)))
		newcomer_destroy(each);
	listener_destroy(door->listener);
	close(door->ready);
	g_mutex_clear(&door->lock);
	g_cond_clear(&door->moved);
	g_free(door);
}
