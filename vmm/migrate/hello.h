// SPDX-License-Identifier: MIT
/* What the two sides tell each other of themselves, before anything moves. */
#ifndef UMBRA_MIGRATE_HELLO_H
#define UMBRA_MIGRATE_HELLO_H

#include "migrate/channel.h"
#include "migrate/owner.h"
#include "state/machine_state.h"

/* The protocol that this umbra speaks, and the oldest whose speakers it understands. */
#define PROTOCOL_VERSION 1u
#define PROTOCOL_OLDEST	 1u

#define CHANNELS_MAX	 16u

enum {
	HELLO_DRY_RUN = 1 << 0,	 /* only the judgement is wanted */
	HELLO_POSTCOPY = 1 << 1, /* pages may come after the start */
};

typedef struct Hello {
	uint32_t version;
	uint32_t oldest;
	uint32_t flags;
	uint32_t channels; /* connections in all */
	uint8_t session[SESSION_SIZE];
	OwnerTicket ticket;
} Hello;
G_STATIC_ASSERT(sizeof(Hello) == 88);

enum {
	VERDICT_SHARES_OWNER = 1 << 0, /* the target found the source's word */
};

typedef struct Verdict {
	uint32_t version;
	uint32_t flags;
} Verdict;

typedef struct Join {
	uint8_t session[SESSION_SIZE];
	uint32_t index; /* 1 … channels - 1 */
	uint32_t zero;
} Join;

/* READY. Its account may be missing: it is for people alone. */
typedef struct Ready {
	uint64_t devices_us; /* of the load */
} Ready;

/* GO: shall it run at once, or was it paused by its user? */
typedef struct Go {
	uint32_t running;
} Go;

/* RESUME. */
typedef struct Resume {
	uint8_t session[SESSION_SIZE];
} Resume;

/* WHO's answer. */
typedef struct Answer {
	uint32_t side; /* OwnerSide */
} Answer;

bool hello_send(Channel *channel, const Hello *hello, const MachineState *state, GError **error);

/*
 * Versions are judged first, so that another version is told by name whatever else
 * changed. *ret_state is what the source's machine looks like.
 */
bool hello_parse(const Message *message, Hello *ret_hello, MachineState **ret_state,
		 GError **error);

/* The payload is exactly one structure of this size. */
bool message_copy(const Message *message, void *to, size_t size, GError **error);

#endif
