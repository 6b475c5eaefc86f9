// SPDX-License-Identifier: MIT
/* A TARGET of a command that takes both: a running guest, or a snapshot file. */
#ifndef UMBRA_CLI_TARGET_H
#define UMBRA_CLI_TARGET_H

#include "cli/client.h"
#include "mem/guest_memory.h"
#include "snapshot/snapshot.h"

/* One of the first two is there. */
typedef struct Target {
	const char *name; /* as it was given */
	Client *client;
	Snapshot *snapshot;
	MachineState *live; /* of a running guest, once it was asked for */
} Target;

/*
 * The name of a running guest comes first; then the path of a file is a snapshot, and
 * anything else is a guest's socket (client.h). `name` must outlive the target.
 */
bool target_open(const char *name, Target *ret_target, GError **error);
void target_close(Target *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Target, target_close)

/* All but RAM; of a running guest, as it was when this was first called. The target's. */
const MachineState *target_state(Target *target, GError **error);

/*
 * A snapshot's RAM, all its files taken together. It must not outlive the target. To look at
 * what was truncated away raises SIGBUS (terminal_on_lost_memory()), but for the rest of a page;
 * so ask snapshot_still_whole() afterwards.
 */
GuestMemory *target_memory(const Target *target, GError **error);
/* What terminal_on_lost_memory() is to say of one target or two. g_free. */
char *target_lost_text(const Target *a, const Target *b);

/* "live", "snapshot": as JSON has it. */
const char *target_source(const Target *target);

#endif
