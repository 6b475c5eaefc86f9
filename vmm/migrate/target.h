// SPDX-License-Identifier: MIT
/*
 * The target of a live migration: a thread that waits for a guest, judges whether it
 * can run here, takes it in, and runs it once the source has handed it over.
 */
#ifndef UMBRA_MIGRATE_TARGET_H
#define UMBRA_MIGRATE_TARGET_H

#include "machine/machine.h"
#include "migrate/address.h"
#include "migrate/progress.h"

typedef struct MigrateTarget MigrateTarget;

/* All called from the target's thread. */
typedef struct MigrateTargetSink {
	/* Somebody came and was turned away, and why: for people. Waiting goes on. */
	void (*refused)(void *owner, const GError *error);
	/* The guest runs here (or is paused, if its user had paused it); it is the caller's. */
	void (*started)(void *owner, Machine *machine);
	/* It will not come: the migration broke off, or was cancelled. */
	void (*failed)(void *owner, const GError *error);
	void *owner;
	/*
	 * After `started`, with post-copy, may be NULL: the status is another. `why`: the
	 * connection is lost, and the guest waits for pages that are at the source; else
	 * NULL.
	 */
	void (*following)(void *owner, MigrateStatus status, const GError *why);
} MigrateTargetSink;

typedef struct MigrateTargetConfig {
	const char *uri;
	const char *tls;
	bool allow_remote; /* plain tcp: beyond loopback */
	unsigned patience_ms;
	const MachineConfig *machine;	 /* kvm_path and CET policy; must outlive the target */
	const MachineSink *machine_sink; /* likewise */
	MigrateTargetSink sink;
} MigrateTargetConfig;

/* Listens, and starts to wait. */
MigrateTarget *migrate_target_start(const MigrateTargetConfig *config, GError **error);
/*
 * Gives up waiting; a guest that has been started stays. But one whose post-copy is not
 * complete (migrate_status_is_postcopy()) cannot go on: machine_stop() it first, and
 * machine_destroy() it after this. Accepts NULL.
 */
void migrate_target_destroy(MigrateTarget *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigrateTarget, migrate_target_destroy)

/* The port that a tcp: or tls: with port 0 got, else 0. */
unsigned migrate_target_port(const MigrateTarget *target);
MigrateStatus migrate_target_status(const MigrateTarget *target);
/* Status, and of a post-copy: remaining, requests, why it is paused. Clear it as usual. */
void migrate_target_query(MigrateTarget *target, MigrateProgress *ret_progress);

#endif
