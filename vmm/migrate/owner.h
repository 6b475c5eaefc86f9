// SPDX-License-Identifier: MIT
/*
 * Who has the guest. Messages alone cannot settle that when the connection breaks
 * while it is handed over: whoever sent the last one never knows whether it came.
 * So two processes of one host share a word of memory, and who sets it first has the
 * guest. The target finds it by what the source tells of itself; on another
 * host, or in another PID namespace, there is none, and the source has to ask
 * (MESSAGE_WHO).
 */
#ifndef UMBRA_MIGRATE_OWNER_H
#define UMBRA_MIGRATE_OWNER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SESSION_SIZE 16u

typedef enum OwnerSide {
	OWNER_NOBODY = 0, /* not settled: the source may still take the guest back */
	OWNER_SOURCE = 1,
	OWNER_TARGET = 2,
} OwnerSide;

/* How the target finds the word; as it is on the wire. */
typedef struct OwnerTicket {
	char boot_id[40]; /* /proc/sys/kernel/random/boot_id, zero-padded */
	uint64_t pid_namespace;
	uint32_t pid;
	uint32_t fd;
} OwnerTicket;
G_STATIC_ASSERT(sizeof(OwnerTicket) == 56);

typedef struct Owner Owner;

/* The source's. NULL only if the system has no memory file to give. */
Owner *owner_create(const uint8_t session[SESSION_SIZE], OwnerTicket *ret_ticket, GError **error);
/* The target's: NULL if it cannot share the source's word. Trusts nothing in the ticket. */
Owner *owner_open(const uint8_t session[SESSION_SIZE], const OwnerTicket *ticket);
void owner_destroy(Owner *owner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Owner, owner_destroy)

/* Takes the guest for `side`. True if it has it now; false: the other one was first. */
bool owner_claim(Owner *owner, OwnerSide side);

#endif
