// SPDX-License-Identifier: MIT
/*
 * A connection that carries messages, from a thread that may wait. Nothing waits
 * for ever: a peer that neither sends nor takes a byte for the channel's patience
 * is an error, and channel_cancel() ends every wait at once.
 */
#ifndef UMBRA_MIGRATE_CHANNEL_H
#define UMBRA_MIGRATE_CHANNEL_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* docs/migration.md tells what each of them carries. */
typedef enum MessageType {
	MESSAGE_HELLO = 1, /* source: who I am, what I have */
	MESSAGE_VERDICT,   /* target: it fits here, or why not */
	MESSAGE_JOIN,	   /* source, on a further connection: it belongs to that session */
	MESSAGE_JOINED,	   /* target: all further connections are there */
	MESSAGE_RAM,	   /* source: pages */
	MESSAGE_END,	   /* source: no more pages on this connection for now */
	MESSAGE_STATE,	   /* source, its guest stopped: all but RAM */
	MESSAGE_READY,	   /* target: loaded, read back, could run */
	MESSAGE_GO,	   /* source: from now on it is yours */
	MESSAGE_STARTED,   /* target: it runs here */
	MESSAGE_FAILED,	   /* either: I give up, and why */
	MESSAGE_ALIVE,	   /* either: nothing to say yet */
	MESSAGE_WHO,	   /* source, on a new connection: who has the guest? */
	MESSAGE_OWNER,	   /* target: the answer */
	MESSAGE_LATER,	   /* source: pages that come after the start (post-copy) */
	MESSAGE_WANT,	   /* target: pages that its guest waits for */
	MESSAGE_COMPLETE,  /* target: every page is here */
	MESSAGE_RESUME,	   /* source, on a new connection: post-copy goes on */
	MESSAGE_MISSING,   /* target: the pages that it still lacks */
	MESSAGE_TYPES,
} MessageType;

const char *message_name(unsigned type);

/* Beyond these a message is refused before room is made for it. */
#define MESSAGE_PAYLOAD_MAX (20u << 20) /* a state tree, its introduction included */
#define MESSAGE_DATA_MAX    (1u << 20)
#define MESSAGE_PAGE	    4096u

typedef struct Message {
	MessageType type;
	const uint8_t *payload; /* the channel's until the next receive */
	uint32_t size;
	uint32_t data_size; /* bytes that follow: channel_receive_data() */
} Message;

/* How fast all channels of a migration together may send. */
typedef struct RateLimit RateLimit;
RateLimit *rate_limit_create(void);
void rate_limit_destroy(RateLimit *limit);
/* Bytes per second, 0: no limit. From any thread. */
void rate_limit_set(RateLimit *limit, uint64_t bytes_per_second);

typedef struct Channel Channel;

/* Takes over `fd`, a connected stream socket. `limit` may be NULL. */
Channel *channel_create(int fd, unsigned patience_ms, RateLimit *limit);
void channel_destroy(Channel *channel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Channel, channel_destroy)

/*
 * How many bytes of pages may be on their way in a Unix socket (TCP sees to that by itself): many
 * to be fast, at first MESSAGE_DATA_MAX, few for the next message to be there soon.
 */
void channel_set_room(Channel *channel, unsigned size);

/* From any thread: every call that waits, now or later, fails. */
void channel_cancel(Channel *channel);
bool channel_is_cancelled(const Channel *channel);

/* One thread sends and one receives at a time; they may be different ones. */
bool channel_send(Channel *channel, MessageType type, const void *payload, size_t size,
		  GError **error);
/*
 * With pages, at most MESSAGE_DATA_MAX bytes. They must not change meanwhile: a running
 * guest's have to be copied first, or their checksum will be wrong.
 */
bool channel_send_data(Channel *channel, MessageType type, const void *payload, size_t size,
		       const void *data, size_t data_size, GError **error);
/* The same with the pages in `n` pieces, at most CHANNEL_PIECES_MAX, whole pages each. */
#define CHANNEL_PIECES_MAX 512u
bool channel_send_pieces(Channel *channel, MessageType type, const void *payload, size_t size,
			 const struct iovec *data, unsigned n, GError **error);

/*
 * UMBRA_ERROR_INPUT: the peer does not speak this protocol, or a bit is wrong;
 * UMBRA_ERROR_FAILED: connection lost, silence, cancelled. MESSAGE_ALIVE is
 * swallowed, MESSAGE_FAILED becomes an error with the peer's words
 * (UMBRA_ERROR_INCOMPATIBLE if it is its judgement).
 */
bool channel_receive(Channel *channel, Message *ret_message, GError **error);
/* Has a MESSAGE_FAILED come? */
bool channel_peer_gave_up(const Channel *channel);
/* The message's pages, all of them, into `n` pieces. */
bool channel_receive_data(Channel *channel, const struct iovec *data, unsigned n, GError **error);
/* channel_receive() of one type; anything else is UMBRA_ERROR_INPUT. */
bool channel_expect(Channel *channel, MessageType type, Message *ret_message, GError **error);
/* Is there something to receive? Waits for it no longer than that. */
bool channel_is_readable(const Channel *channel, int timeout_ms);

/*
 * After the last word: waits, not much longer than a second, until the peer has closed its end.
 * What still comes is not looked at. Who ends a connection without that makes the peer's TLS
 * believe that somebody has cut it.
 */
void channel_part(Channel *channel);

/* Tells the peer why this side gives up. Best effort. */
void channel_send_failure(Channel *channel, const GError *error);

uint64_t channel_bytes_sent(const Channel *channel);

#endif
