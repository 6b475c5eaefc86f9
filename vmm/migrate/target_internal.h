// SPDX-License-Identifier: MIT
/* What the files of the target share. Nobody else includes it. */
#ifndef UMBRA_MIGRATE_TARGET_INTERNAL_H
#define UMBRA_MIGRATE_TARGET_INTERNAL_H

#include "migrate/door.h"
#include "migrate/hello.h"
#include "migrate/pages.h"
#include "migrate/postcopy_target.h"
#include "migrate/target.h"

struct MigrateTarget {
	Door *door;
	unsigned patience_ms;
	const MachineConfig *config;
	const MachineSink *machine_sink;
	MigrateTargetSink sink;
	GThread *thread;
	_Atomic MigrateStatus status;

	GMutex lock;	 /* of the next three */
	GError *why;	 /* post-copy is paused */
	GPtrArray *open; /* of Channel: to be cancelled */
	bool cancelled;

	/* The thread's own. */
	Hello hello;
	MachineState *outline; /* as announced */
	Owner *owner;	       /* NULL: not shared with the source */
	Machine *machine;
	bool held;	    /* the guest is ours and is let go next */
	Machine *given;	    /* after it has become the caller's, while its RAM still comes */
	uint64_t *written;  /* pages, see PageSink */
	Postcopy *postcopy; /* NULL: all pages come before the start; set under the lock */
	Channel *channels[CHANNELS_MAX];
};

/* Makes the channel known to target_cancel(); false: that was faster. */
bool target_adopt(MigrateTarget *target, Channel *channel, GError **error);
void target_forget(MigrateTarget *target, Channel *channel);
void target_cancel(MigrateTarget *target);
/* Nothing more is to be said on this channel. */
void target_hang_up(MigrateTarget *target, unsigned index);

void target_set_status(MigrateTarget *target, MigrateStatus status);
/*
 * Listens to what a new connection has to say; patience as in door_greet(). NULL:
 * nobody came, or said nothing; *ret_go_on is false if nobody ever will.
 */
Channel *target_greet(MigrateTarget *target, int patience_ms, Message *ret_message, bool *ret_go_on,
		      GError **error);
/*
 * Answers somebody who asks for a guest's owner; anything else is not for us. Of another
 * session's guest nothing is known here.
 */
bool target_answer(const MigrateTarget *target, Channel *channel, const Message *message,
		   OwnerSide side, GError **error);

/* follow.c: the guest runs here; until the rest of its RAM has come, or target_cancel(). */
void target_follow(MigrateTarget *target);
/* Not all of RAM is here; who waits for it is let go when the guest ends. */
void target_set_ram(MigrateTarget *target, Machine *machine, MachineRam ram);

/* judge.c: true if the guest of this HELLO is to come, and a machine for it exists. False
 * without *error: a dry run, which was answered. */
bool target_judge(MigrateTarget *target, Channel *channel, const Message *message, GError **error);
/* Everything that speaks against the state, one line each, is the error. */
bool target_check(MigrateTarget *target, const MachineState *state, GError **error);

/* receive.c: takes pages from all channels until each has said END. */
bool target_receive_ram(MigrateTarget *target, GError **error);

#endif
