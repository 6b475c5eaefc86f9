// SPDX-License-Identifier: MIT
/*
 * What can be asked of a process that waits for a guest to arrive: its name, how far it
 * is, to give up. Once the guest is there, guest.h's commands take over.
 */
#ifndef UMBRA_CONTROL_INCOMING_H
#define UMBRA_CONTROL_INCOMING_H

#include "control/migration_settings.h"
#include "control/server.h"
#include "migrate/progress.h"

typedef struct ControlIncoming {
	ControlServer *server;
	const char *name;
	/* In the main loop. `listen` is migrate-incoming's, for --incoming defer. */
	MigrateStatus (*status)(void *owner);
	bool (*listen)(void *owner, const char *uri, GError **error);
	void (*quit)(void *owner);
	void *owner;
	MigrationSettings settings; /* filled in by control_incoming_attach() */
} ControlIncoming;

/* Adds the commands. `incoming` must outlive them. */
void control_incoming_attach(ControlIncoming *incoming);
/* Takes them away. */
void control_incoming_detach(ControlIncoming *incoming);

#endif
