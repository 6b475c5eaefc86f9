// SPDX-License-Identifier: MIT
/*
 * The source of a live migration, beside the running guest. Whatever goes wrong before
 * the target has the guest, the guest runs on here, as before.
 */
#ifndef UMBRA_MIGRATE_SOURCE_H
#define UMBRA_MIGRATE_SOURCE_H

#include "machine/machine.h"
#include "migrate/address.h"
#include "migrate/progress.h"

typedef struct MigrateSource MigrateSource;

/* Called from the thread of migrate_source_run(): wake the main loop and return. */
typedef struct MigrateSink {
	void (*changed)(void *owner); /* of status, and after each round */
	void *owner;
} MigrateSink;

typedef struct MigrateSourceConfig {
	const char *uri;
	const char *tls; /* folder with certificates, for tls: */
	bool dry_run;	 /* ask for the target's judgement, and move nothing */
	bool postcopy;	 /* migrate_source_start_postcopy() is to be possible */
	MigrateParameters parameters;
	MigrateSink sink;
} MigrateSourceConfig;

/*
 * UMBRA_ERROR_USAGE for an address that makes no sense, or with `postcopy` one that cannot be
 * connected to again. `machine` must outlive the source.
 */
MigrateSource *migrate_source_create(Machine *machine, const MigrateSourceConfig *config,
				     GError **error);
/* Not while it runs. Accepts NULL. */
void migrate_source_destroy(MigrateSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigrateSource, migrate_source_destroy)

/*
 * Does it all, once; returns when it is over, and true if the guest is given away (or,
 * for a dry run, could be). *error is what progress.error says.
 */
bool migrate_source_run(MigrateSource *source, GError **error);

/* From any thread. Once the target has the guest, cancelling changes nothing. */
void migrate_source_cancel(MigrateSource *source);
/*
 * From any thread: this process ends. As migrate_source_cancel(), but also ends a post-copy
 * that is not complete, and with it the guest at the target.
 */
void migrate_source_abandon(MigrateSource *source);

/*
 * From any thread: this process is to end. True: cancelled, and nothing is lost by it. False:
 * the target needs pages that only this process has, or will as soon as it has the guest.
 */
bool migrate_source_let_end(MigrateSource *source);

/*
 * From any thread: what has not been sent now goes when the guest runs at the target.
 * UMBRA_ERROR_USAGE if it was not prepared for that, or is not on its way.
 */
bool migrate_source_start_postcopy(MigrateSource *source, GError **error);
/* From any thread: breaks the connection, so that another one can be made. */
bool migrate_source_pause(MigrateSource *source, GError **error);
/*
 * From any thread: connects anew, after MIGRATE_POSTCOPY_PAUSED; `tls` as at the start. The
 * status is MIGRATE_POSTCOPY_RECOVER then, and the next one tells whether it worked.
 * UMBRA_ERROR_USAGE: there is nothing to resume, or no sense in `uri`.
 */
bool migrate_source_resume(MigrateSource *source, const char *uri, const char *tls, GError **error);
void migrate_source_set(MigrateSource *source, const MigrateParameters *parameters);

/* How it stands. Clear with migrate_progress_finish(). */
void migrate_source_query(MigrateSource *source, MigrateProgress *ret_progress);

#endif
