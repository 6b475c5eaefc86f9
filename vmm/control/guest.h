// SPDX-License-Identifier: MIT
/*
 * What QMP clients can ask of a guest: its state, its processors, stop and go,
 * the power button, the end. Each command does what QEMU's of the same name does.
 */
#ifndef UMBRA_CONTROL_GUEST_H
#define UMBRA_CONTROL_GUEST_H

#include "control/job.h"
#include "control/server.h"
#include "machine/machine.h"

typedef struct ControlGuest {
	ControlServer *server;
	Machine *machine;
	Job *job; /* the slot for a snapshot or a migration */
	const char *name;
	/* The client's `quit`: called from the main loop, and must return. */
	void (*quit)(void *owner);
	void *owner;
} ControlGuest;

/* Adds the commands. `guest` stays the caller's and must outlive the server. */
void control_guest_attach(ControlGuest *guest);

/*
 * Lets a running guest stand still for a moment, and go on. Clients are not told
 * of so short a stop.
 */
bool control_guest_hold(const ControlGuest *guest, GError **error);
void control_guest_release(const ControlGuest *guest);

/*
 * Tells that the guest has ended (event SHUTDOWN). `reason` is QEMU's word for
 * an end from outside ("host-qmp-quit", "host-signal", "host-ui"); it counts
 * only if `end` says MACHINE_END_STOPPED.
 */
void control_guest_announce_end(const ControlGuest *guest, const MachineEnd *end,
				const char *reason);

#endif
