// SPDX-License-Identifier: MIT
/* How a migration stands, and what may be set while it runs. Plain data. */
#ifndef UMBRA_MIGRATE_PROGRESS_H
#define UMBRA_MIGRATE_PROGRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum MigrateStatus {
	MIGRATE_NONE,
	MIGRATE_SETUP,
	MIGRATE_ACTIVE,
	MIGRATE_DEVICE,		  /* the guest is stopped, its last state on its way */
	MIGRATE_POSTCOPY_ACTIVE,  /* the guest runs at the target, the rest of its RAM follows */
	MIGRATE_POSTCOPY_PAUSED,  /* … and cannot: the connection is lost */
	MIGRATE_POSTCOPY_RECOVER, /* … a new one is being made */
	MIGRATE_CANCELLED,
	MIGRATE_COMPLETED,
	MIGRATE_FAILED,
} MigrateStatus;

/* QEMU's words (qapi/migration.json). */
const char *migrate_status_name(MigrateStatus status);

static inline bool migrate_status_is_postcopy(MigrateStatus status)
{
	return status >= MIGRATE_POSTCOPY_ACTIVE && status <= MIGRATE_POSTCOPY_RECOVER;
}

typedef struct MigrateParameters {
	uint64_t downtime_limit_ms;
	uint64_t max_bandwidth;	     /* bytes per second, 0: no limit */
	uint64_t postcopy_bandwidth; /* the same of pages that nobody waits for */
	unsigned postcopy_after;     /* rounds, 0: not by itself; only where it is allowed */
	unsigned channels;	     /* connections in parallel */
	unsigned throttle_initial, throttle_increment, throttle_max; /* percent; max 0: never */
	unsigned patience_ms;					     /* silence of the peer */
} MigrateParameters;

#define MIGRATE_PARAMETERS_DEFAULT                                                  \
	{                                                                           \
		.downtime_limit_ms = 100, .channels = 1, .throttle_initial = 20,    \
		.throttle_increment = 10, .throttle_max = 99, .patience_ms = 15000, \
	}

/* Where the time went while no guest ran, in µs. */
typedef struct MigrateDowntime {
	uint64_t stop;	  /* vCPUs come to rest */
	uint64_t pages;	  /* the last dirty ones */
	uint64_t state;	  /* vCPUs and devices, saved and sent */
	uint64_t load;	  /* the target's answer: loaded, read back */
	uint64_t devices; /* of both these: saving, loading and reading back devices */
	uint64_t start;	  /* handed over, and the target's word that it runs */
	uint64_t total;
} MigrateDowntime;

typedef struct MigrateProgress {
	MigrateStatus status;
	bool committed; /* to post-copy: GO may be on its way, and pages stay behind */
	uint64_t total, remaining, transferred; /* bytes of RAM, of RAM, of everything */
	uint64_t normal_pages, zero_pages;
	uint64_t postcopy_pages;    /* sent, or come, after the start */
	uint64_t postcopy_requests; /* pages that the guest at the target had to wait for */
	uint64_t rounds;
	uint64_t dirty_pages_rate; /* per second */
	uint64_t bandwidth;	   /* bytes per second, of the last round */
	uint64_t expected_downtime_ms;
	unsigned throttle; /* percent */
	uint64_t setup_us, total_us;
	MigrateDowntime downtime;
	char *error;	   /* of FAILED and POSTCOPY_PAUSED: one line or several, for people */
	bool incompatible; /* … and it is a judgement, of the target or of this side */
} MigrateProgress;

/* May the target be unable to do without this process? */
static inline bool migrate_progress_is_needed(const MigrateProgress *progress)
{
	return migrate_status_is_postcopy(progress->status) ||
	       (progress->status == MIGRATE_DEVICE && progress->committed);
}

static inline void migrate_progress_finish(MigrateProgress *progress)
{
	g_clear_pointer(&progress->error, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigrateProgress, migrate_progress_finish)

#endif
