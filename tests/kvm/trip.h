// SPDX-License-Identifier: MIT
/*
 * A guest's journey by post-copy, both sides in this process. What happens on either side is
 * told under the lock, and can be waited for.
 */
#ifndef UMBRA_TESTS_TRIP_H
#define UMBRA_TESTS_TRIP_H

#include "machine/machine.h"
#include "migrate/source.h"
#include "migrate/target.h"

#define MEMORY	 (128UL << 20)
#define PATIENCE 5000
#define DEADLINE (30 * G_USEC_PER_SEC)
#define CRAWL	 1 /* bytes per second: nothing comes but what is waited for */

typedef struct Trip {
	char *folder, *uri;
	MachineConfig config;
	MachineSink here, there;
	Machine *from, *to;
	MigrateTarget *target;
	MigrateSource *source;
	GThread *job;

	GMutex lock; /* of the rest */
	GCond changed;
	GString *said;
	const char *mute_after; /* NULL, or what it says after this is not taken at the source */
	bool ended, failed, over;
	MigrateStatus source_is, target_is;
	unsigned recoveries; /* begun by the source */
	char *why;	     /* the target is paused */
	GError *error;
	bool result;
} Trip;

/* Waits until the condition holds; says what did not happen. */
#define AWAIT(trip, condition)                                                              \
	do {                                                                                \
		gint64 until_ = g_get_monotonic_time() + DEADLINE;                          \
		g_mutex_lock(&(trip)->lock);                                                \
		while (!(condition))                                                        \
			if (!g_cond_wait_until(&(trip)->changed, &(trip)->lock, until_))    \
				g_error("not in time: %s; source %s, target %s, said: %s",  \
					#condition, migrate_status_name((trip)->source_is), \
					migrate_status_name((trip)->target_is),             \
					(trip)->said->str);                                 \
		g_mutex_unlock(&(trip)->lock);                                              \
	} while (0)

/* `guest`: of tests/guests. */
void trip_init(Trip *trip, const char *guest);
void trip_listen(Trip *trip);
void trip_boot(Trip *trip);
/* All of RAM goes after the start; what nobody waits for so fast (bytes per second, 0: no limit).
 */
void trip_send(Trip *trip, uint64_t bandwidth);
MigrateParameters trip_parameters(uint64_t bandwidth);
/* From now on without a limit. */
void trip_hurry(Trip *trip);
/* Breaks the connection, and waits until both sides have noticed. */
void trip_cut(Trip *trip);
void trip_resume(Trip *trip);
/* Waits for the end of the migration, a good one. */
void trip_arrived(Trip *trip, MigrateProgress *ret_progress);
void trip_finish(Trip *trip);

#endif
