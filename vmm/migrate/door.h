// SPDX-License-Identifier: MIT
/*
 * Who comes to a target's address. Each newcomer is listened to by a thread of its own until it
 * has said its first message, so that one who says nothing keeps nobody else waiting.
 */
#ifndef UMBRA_MIGRATE_DOOR_H
#define UMBRA_MIGRATE_DOOR_H

#include "migrate/address.h"
#include "migrate/channel.h"

/* So many may be silent at a time: for one more, the one who came first is sent away. */
#define DOOR_NEWCOMERS_MAX 16u

typedef struct Door Door;

/* Takes over `listener`. `patience_ms`: how long a newcomer may be silent, and the channel's later.
 */
Door *door_create(Listener *listener, unsigned patience_ms);
/* Accepts NULL. */
void door_destroy(Door *door);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Door, door_destroy)

/*
 * The next one who has said something, and what. NULL with *error: somebody came and said
 * nothing that can be understood, or, with *ret_go_on false, nobody will come any more. With
 * `patience_ms` >= 0 that is so when nobody has come for so long. One thread at a time.
 */
Channel *door_greet(Door *door, int patience_ms, Message *ret_message, bool *ret_go_on,
		    GError **error);

/* From any thread: who waits at either side of the door goes away. */
void door_cancel(Door *door);

const Listener *door_listener(const Door *door);

#endif
