// SPDX-License-Identifier: MIT
/* What the files of the source share. Nobody else includes it. */
#ifndef UMBRA_MIGRATE_SOURCE_INTERNAL_H
#define UMBRA_MIGRATE_SOURCE_INTERNAL_H

#include "machine/dirty.h"
#include "migrate/hello.h"
#include "migrate/pages.h"
#include "migrate/source.h"

struct MigrateSource {
	Machine *machine;
	Address address;
	char *tls;
	bool dry_run;
	bool postcopy_allowed;
	MigrateSink sink;
	int64_t began; /* monotonic µs */

	atomic_bool postcopy_wanted; /* the round in progress is the last one */

	GMutex lock; /* of all down to `resume_at` */
	GCond woken; /* one of the last three changed */
	MigrateParameters parameters;
	MigrateProgress progress;
	Channel *channels[CHANNELS_MAX]; /* the first carries all but most of the pages */
	unsigned n_channels;
	Channel *question;     /* while the target is asked who has the guest */
	uint64_t bytes_before; /* sent by channels that are no more */
	bool cancelled;
	bool abandoned; /* this process ends */
	bool resuming;	/* `resume_at` is where, `resume_tls` the certificates' folder */
	char *resume_tls;
	Address resume_at;

	/* Of migrate_source_run() alone. */
	uint8_t session[SESSION_SIZE];
	Owner *owner;
	bool shares_owner; /* the target uses `owner` as well */
	unsigned planned;  /* connections in all, as announced */
	RateLimit *limit;
	PageSpace space;
	PageCounts counts;
	uint64_t *bitmap; /* pages to send next */
	bool complete;	  /* the target needs no more pages */
	uint64_t *later;  /* NULL, or post-copy: the pages that were left for after the start */
	DirtySet *dirty;
	unsigned throttle; /* percent */
	bool held;	   /* the guest stands still on our account */
	int64_t held_at;
};

/* precopy.c: rounds while the guest runs. Ends when the rest is small enough; then the
 * guest is held and `bitmap` has the rest. */
bool precopy_run(MigrateSource *source, GError **error);
/*
 * Sends the pages of `bitmap`, each by its channel, all channels at once. With `stop`
 * only until that becomes true; what is left then is in `bitmap`.
 */
bool source_send_pages(MigrateSource *source, const atomic_bool *stop, GError **error);

/* postcopy_source.c: instead of sending the last pages, says that they will come later. */
bool postcopy_announce(MigrateSource *source, GError **error);
/* channel_expect() on the first channel; meanwhile sends the pages that the target wants. */
bool source_expect(MigrateSource *source, MessageType type, Message *ret_message, GError **error);
/*
 * From STARTED until the target has all pages, through any number of broken connections.
 * False: this process ends before that, and so does the guest.
 */
bool postcopy_run(MigrateSource *source, GError **error);

/* handover.c: from the held guest to the one that runs there. */
typedef enum Handover {
	HANDOVER_DONE,	  /* it runs there */
	HANDOVER_FAILED,  /* it is still ours; *error says why */
	HANDOVER_UNKNOWN, /* the connection broke at the one moment where nobody can tell */
} Handover;
Handover handover_run(MigrateSource *source, GError **error);

/* source.c */
void source_set_status(MigrateSource *source, MigrateStatus status, const GError *error);
MigrateParameters source_parameters(MigrateSource *source);
/* Connects; the channel is cancelled along with the others. NULL on error. */
Channel *source_connect(MigrateSource *source, GError **error);
bool source_is_cancelled(MigrateSource *source);
bool source_hold(MigrateSource *source, GError **error);
void source_release(MigrateSource *source);

#endif
