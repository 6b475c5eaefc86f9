// SPDX-License-Identifier: MIT
/* What the files of the target share. Nobody else includes it. */
#ifndef UMBRA_MIGRATE_TARGET_INTERNAL_H
#define UMBRA_MIGRATE_TARGET_INTERNAL_H

#include "migrate/hello.h"
#include "migrate/pages.h"
#include "migrate/target.h"

struct MigrateTarget {
	Listener *listener;
	unsigned patience_ms;
	const MachineConfig *config;
	const MachineSink *machine_sink;
	MigrateTargetSink sink;
	GThread *thread;
	_Atomic MigrateStatus status;

	GMutex lock;	 /* of the next two */
	GPtrArray *open; /* of Channel: to be cancelled */
	bool cancelled;

	/* The thread's own. */
	Hello hello;
	MachineState *outline; /* as announced */
	Owner *owner;	       /* NULL: not shared with the source */
	Machine *machine;
	uint64_t *written; /* pages, see PageSink */
	Channel *channels[CHANNELS_MAX];
};

/* Makes the channel known to target_cancel(); false: that was faster. */
bool target_adopt(MigrateTarget *target, Channel *channel, GError **error);
void target_forget(MigrateTarget *target, Channel *channel);
void target_cancel(MigrateTarget *target);

/* judge.c: true if the guest of this HELLO is to come, and a machine for it exists. False
 * without *error: a dry run, which was answered. */
bool target_judge(MigrateTarget *target, Channel *channel, const Message *message, GError **error);
/* Everything that speaks against the state, one line each, is the error. */
bool target_check(MigrateTarget *target, const MachineState *state, GError **error);

/* receive.c: takes pages from all channels until each has said END. */
bool target_receive_ram(MigrateTarget *target, GError **error);

#endif
