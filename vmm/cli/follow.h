// SPDX-License-Identifier: MIT
/*
 * Following a job of a guest (control/job.h) from another process: a progress bar, and
 * Ctrl-C, which cancels it. The job is the guest's: any other end of this process does
 * not end it.
 */
#ifndef UMBRA_CLI_FOLLOW_H
#define UMBRA_CLI_FOLLOW_H

#include "cli/client.h"

typedef struct FollowedJob {
	const char *event;  /* by which it tells how far it is */
	const char *cancel; /* the command that ends it */
	/* All that follows may be NULL. Looks at each event but the last; false: enough, see below.
	 */
	bool (*watch)(void *owner, json_object *event);
	/* Ctrl-C did not cancel it, and why. */
	void (*refused)(void *owner, const GError *why);
	/* What to add to the progress bar; g_free, or NULL. */
	char *(*note)(void *owner, json_object *event);
	void *owner;
} FollowedJob;

/* From here on Ctrl-C waits to be noticed; -1 if it is ignored. Before the job is started. */
int follow_interrupt(void);

/*
 * The job's last event; `status` is "completed", "failed" or "cancelled" (or "active": `watch`
 * had enough). NULL: the connection broke, and it is not known how the job ended.
 */
json_object *follow_job(Client *client, const FollowedJob *job, int interrupt_fd, bool show,
			GError **error);

/* Members of an event: 0 and "" where there are none. */
int64_t follow_number(json_object *object, const char *name);
const char *follow_text(json_object *object, const char *name);

#endif
