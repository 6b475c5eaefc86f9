// SPDX-License-Identifier: MIT
/*
 * Post-copy at the target: pages that the source announced for later are missing, and who
 * touches one waits until it has come. Two threads: one asks for pages that are waited
 * for, one takes what comes. Neither touches guest memory nor takes a lock of the
 * machine's, so whoever waits, holding whatever locks, is served.
 */
#ifndef UMBRA_MIGRATE_POSTCOPY_TARGET_H
#define UMBRA_MIGRATE_POSTCOPY_TARGET_H

#include "migrate/hello.h"
#include "migrate/pages.h"

typedef struct Postcopy Postcopy;

/* UMBRA_ERROR_UNSUPPORTED: why this process cannot. */
bool postcopy_check(GError **error);

/* No page is missing yet. The memory of `space` must outlive the result. */
Postcopy *postcopy_create(const PageSpace *space);
/*
 * Who still waits goes on, and finds zeros: no vCPU may run any more that is to be
 * right. The channel must be cancelled. Accepts NULL.
 */
void postcopy_destroy(Postcopy *postcopy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Postcopy, postcopy_destroy)

/* One message LATER. */
bool postcopy_take_later(Postcopy *postcopy, const Message *message, GError **error);
/*
 * What LATER named is discarded, and from now on waited for; what comes by `channel` is
 * taken. Before the machine's state is loaded: KVM may look into RAM while it is.
 */
bool postcopy_begin(Postcopy *postcopy, Channel *channel, GError **error);

/* STATE and GO, which come in between. `ret_message` is valid until the next call. */
bool postcopy_expect(Postcopy *postcopy, MessageType type, Message *ret_message, GError **error);
/* READY, STARTED, COMPLETE: others may be sending just now. */
bool postcopy_send(Postcopy *postcopy, MessageType type, const void *payload, size_t size,
		   GError **error);

/* channel_send_failure(). False: there is no channel yet, or no more. */
bool postcopy_send_failure(Postcopy *postcopy, const GError *error);

/* Who waits goes on, and finds zeros: for a guest that has ended. From any thread. */
void postcopy_let_go(Postcopy *postcopy);

typedef enum PostcopyEnd {
	POSTCOPY_ALL_HERE, /* told once: nothing is missing; postcopy_release() is next */
	POSTCOPY_FAREWELL, /* the source knows */
	POSTCOPY_BROKEN,   /* the connection is lost; *error says why */
} PostcopyEnd;

/* After STARTED: the next thing of these to happen. */
PostcopyEnd postcopy_wait(Postcopy *postcopy, GError **error);
/* After POSTCOPY_ALL_HERE: nothing is waited for from now on. */
void postcopy_release(Postcopy *postcopy);
/* After POSTCOPY_BROKEN: goes on with a new channel, on which RESUME came. */
bool postcopy_resume(Postcopy *postcopy, Channel *channel, GError **error);

/* Pages: missing, and all that were waited for. From any thread. */
void postcopy_query(Postcopy *postcopy, uint64_t *ret_missing, uint64_t *ret_requests);

#endif
