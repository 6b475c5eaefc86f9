// SPDX-License-Identifier: MIT
/*
 * Live migration as QMP clients know it from QEMU (qapi/migration.json): migrate,
 * migrate_cancel, query-migrate, parameters and capabilities, the event MIGRATION;
 * migrate-start-postcopy, migrate-pause and `migrate` with "resume". A migration is a job
 * (job.h) of its guest, through all breaks of a post-copy too.
 *
 * What QEMU does not have: `migrate` takes "x-umbra-dry-run", the event
 * X_UMBRA_MIGRATION tells how far it is, "tls-creds" names a folder (docs/tls.md), the parameter
 * "x-umbra-patience" is how many milliseconds a silent peer is waited for, and
 * "x-umbra-postcopy-after" after how many rounds post-copy begins by itself (0: it does not).
 * `migrate` with "resume" makes the status "postcopy-recover" before it answers.
 */
#ifndef UMBRA_CONTROL_MIGRATION_H
#define UMBRA_CONTROL_MIGRATION_H

#include "control/guest.h"
#include "migrate/progress.h"

typedef struct ControlMigration ControlMigration;

/* Adds the commands. `guest` must outlive the result, and that the server's last request. */
ControlMigration *control_migration_attach(ControlGuest *guest);
/* No job may run any more. Accepts NULL. */
void control_migration_destroy(ControlMigration *migration);

/*
 * The guest has come from elsewhere: tells the clients that waited for it. How it arrives
 * (its RAM may still be on its way) is what query-migrate answers until it moves on. In the main
 * loop; `query` must be good as long as the guest is.
 */
typedef void (*ControlArrival)(void *owner, MigrateProgress *ret_progress);
void control_migration_announce_arrival(ControlMigration *migration, ControlArrival query,
					void *owner);
/* Its status is another. In the main loop. */
void control_migration_arrival_changed(ControlMigration *migration);

/* NULL, or why the guest that went elsewhere cannot go on there. */
const char *control_migration_loss(const ControlMigration *migration);
/* Where the guest went; NULL as long as it is here. */
const char *control_migration_moved_to(const ControlMigration *migration);

#endif
