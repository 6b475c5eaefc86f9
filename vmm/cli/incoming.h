// SPDX-License-Identifier: MIT
/* umbra run --incoming: a process that waits for a guest of another one. */
#ifndef UMBRA_CLI_INCOMING_H
#define UMBRA_CLI_INCOMING_H

#include "cli/run_options.h"

typedef struct Incoming Incoming;

/*
 * Opens the session, listens, and lets the main loop run until a guest is here, which
 * then runs already (or stands still, if its user had paused it): *ret_machine. NULL
 * there: the user or a client ended the wait. An error: the guest broke off on its
 * way.
 */
Incoming *incoming_wait(Session *session, const RunOptions *options, Machine **ret_machine,
			GError **error);
/* How the guest arrives. The owner is an Incoming. */
void incoming_query(void *owner, MigrateProgress *ret_progress);
/* Not before the guest has ended: its source may still have a question. Accepts NULL. */
void incoming_destroy(Incoming *incoming);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Incoming, incoming_destroy)

#endif
