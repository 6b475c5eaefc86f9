// SPDX-License-Identifier: MIT
/* How a running guest is reached from outside: its name, its control sockets. */
#ifndef UMBRA_CLI_RUN_CONTROL_H
#define UMBRA_CLI_RUN_CONTROL_H

#include "control/migration.h"
#include "control/snapshot.h"

typedef struct RunControlConfig {
	char *name; /* NULL: one is made up */
	char *qmp;  /* path of a further socket, or NULL */
} RunControlConfig;

typedef struct RunControl {
	ControlServer *server;
	ControlGuest guest;
	ControlSnapshots *snapshots;
	ControlMigration *migration;
	char *made_up_name;
} RunControl;

/*
 * Opens the sockets: from here on something answers as soon as the main loop runs, and is
 * found by name. A guest that nobody gave a name runs without one if there is no place
 * for it (a warning says so).
 */
bool run_control_open(RunControl *control, const RunControlConfig *config, GError **error);
/* There is a guest to ask about. `quit` is what QMP's quit does. */
void run_control_attach(RunControl *control, Machine *machine, void (*quit)(void *owner),
			void *owner);

/* Cancels a snapshot or a migration that is under way, and waits for it. */
void run_control_stop_job(RunControl *control);

/* Tells clients how the guest ended, see control_guest_announce_end(). */
void run_control_announce_end(const RunControl *control, const MachineEnd *end, const char *reason);

/* Removes the sockets. All-zero is fine. */
void run_control_finish(RunControl *control);

#endif
