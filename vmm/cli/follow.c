// SPDX-License-Identifier: MIT
#include "cli/follow.h"

#include "cli/progress.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int64_t follow_number(json_object *object, const char *name)
{
	return json_object_get_int64(json_object_object_get(object, name));
}

const char *follow_text(json_object *object, const char *name)
{
	const char *value = json_object_get_string(json_object_object_get(object, name));

	return value ? value : "";
}

int follow_interrupt(void)
{
	struct sigaction action;
	sigset_t interrupt;

	if (sigaction(SIGINT, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
		return -1;
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, NULL);
	return signalfd(-1, &interrupt, SFD_CLOEXEC);
}

/* Ctrl-C, once: a second one ends this process, and the job goes on. */
static void cancel(Client *client, const FollowedJob *job, int interrupt_fd)
{
	struct signalfd_siginfo taken;
	sigset_t interrupt;

	/* What is not taken would be delivered as soon as it is unblocked. */
	(void)!read(interrupt_fd, &taken, sizeof(taken));
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
	g_autoptr(GError) why = NULL;
	g_autoptr(json_object) done = client_execute(client, job->cancel, NULL, &why);

	/* Or the job has just ended: then its last event is on its way. */
	if (!done && job->refused)
		job->refused(job->owner, why);
}

static void show_progress(const FollowedJob *job, json_object *event)
{
	g_autofree char *note = job->note ? job->note(job->owner, event) : NULL;

	progress_show((uint64_t)follow_number(event, "done"),
		      (uint64_t)follow_number(event, "total"), note);
}

static json_object *follow(Client *client, const FollowedJob *job, int interrupt_fd, bool show,
			   GError **error)
{
	for (;;) {
		json_object *event;

		if (!client_next_event(client, job->event, interrupt_fd, &event, error))
			return NULL;
		if (!event) {
			cancel(client, job, interrupt_fd);
			interrupt_fd = -1;
		} else if (strcmp(follow_text(event, "status"), "active") != 0 ||
			   (job->watch && !job->watch(job->owner, event))) {
			return event;
		} else if (show) {
			show_progress(job, event);
		}
		json_object_put(event);
	}
}

json_object *follow_job(Client *client, const FollowedJob *job, int interrupt_fd, bool show,
			GError **error)
{
	json_object *last;

	show = show && progress_is_seen();
	client_keep_events(client);
	last = follow(client, job, interrupt_fd, show, error);
	if (show)
		progress_clear();
	return last;
}
