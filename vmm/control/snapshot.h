// SPDX-License-Identifier: MIT
/*
 * Snapshots of a running guest, as a job (job.h) of its control socket:
 *
 *   x-umbra-snapshot         {"path": …, "since": …, "no-track": …}: starts one
 *   x-umbra-snapshot-cancel  gives it up; fails if none is under way
 *
 * Paths are absolute. The event X_UMBRA_SNAPSHOT tells of it; when it has completed, with
 *
 *   "stored"      bytes of RAM in the file
 *   "stopped_us"  how long the guest stood still, in microseconds: "total", and by stage
 *                 "pause" (vCPUs), "state" (all but RAM), "log" (of written pages), "ram"
 *   "sync_us"     after that, to bring the file to disk
 */
#ifndef UMBRA_CONTROL_SNAPSHOT_H
#define UMBRA_CONTROL_SNAPSHOT_H

#include "control/guest.h"

typedef struct ControlSnapshots ControlSnapshots;

/* Adds the commands. `guest` must outlive the result, and that the server's last request. */
ControlSnapshots *control_snapshots_attach(ControlGuest *guest);
/* No job may run any more. Accepts NULL. */
void control_snapshots_destroy(ControlSnapshots *snapshots);

#endif
