// SPDX-License-Identifier: MIT
/*
 * RAM on its way. Pages are numbered in the order of guest-physical addresses without
 * the hole below 4 GiB. Each page always takes the same channel, so that a later copy
 * cannot be overtaken by an earlier one.
 */
#ifndef UMBRA_MIGRATE_PAGES_H
#define UMBRA_MIGRATE_PAGES_H

#include "migrate/channel.h"

#define PAGE_SIZE 4096u

/* A run of pages in a message: of data that follows, or of zeros. */
typedef struct PageRun {
	uint64_t first;
	uint32_t n;
	uint32_t is_zero;
} PageRun;

/* The RAM of one side. */
typedef struct PageSpace {
	uint8_t *bytes;
	uint64_t pages;
} PageSpace;

typedef struct PageCounts {
	_Atomic uint64_t normal, zero; /* pages */
} PageCounts;

/* The channel of a page: pieces of 2 MiB take turns. */
static inline unsigned page_channel(uint64_t page, unsigned channels)
{
	return (unsigned)((page >> 9) % channels);
}

/* Which pages to send, and how. */
typedef struct PageSender {
	Channel *channel;
	PageSpace space;
	/* Set for what is to go, cleared for what has gone. A word is one channel's alone. */
	uint64_t *bitmap;
	unsigned index, channels; /* only pages of channel `index` of `channels` */
	const atomic_bool *stop;  /* once true, the rest stays in the bitmap; may be NULL */
	bool still;		  /* nobody writes to RAM meanwhile: no copies are made */
	PageCounts *counts;
} PageSender;

bool pages_send(const PageSender *sender, GError **error);
/* Of these only [first, first + n), by this channel whatever `index` says. */
bool pages_send_range(const PageSender *sender, uint64_t first, uint64_t n, GError **error);

/*
 * Where received pages go: by `place`, or without it straight into the memory, which
 * nobody uses yet and which was all zero; `written` then notes the pages that no longer are.
 */
typedef struct PageSink {
	PageSpace space;
	uint64_t *written;	  /* channels share it: a chunk is a number of whole words */
	unsigned index, channels; /* only pages of this channel are right here */
	bool (*place)(void *owner, uint64_t first, uint32_t n, const uint8_t *data, GError **error);
	void *owner;
} PageSink;

/* Takes one message RAM. Runs outside of memory or of the channel are refused. */
bool pages_receive(Channel *channel, const Message *message, const PageSink *sink, GError **error);

/* A list of runs as a message's payload; at most PAGE_RUNS_MAX. */
#define PAGE_RUNS_MAX (1u << 20)
/*
 * The set pages of a bitmap as runs, in as many messages as it takes. Those of a
 * bitmap without a set page are none.
 */
bool page_runs_send(Channel *channel, MessageType type, const uint64_t *bitmap, uint64_t pages,
		    GError **error);
bool page_runs_check(const Message *message, const PageSpace *space, const PageRun **ret_runs,
		     unsigned *ret_n, GError **error);

/* The first set bit from `from` on, or `bits`. */
uint64_t bitmap_next(const uint64_t *bitmap, uint64_t from, uint64_t bits);
static inline bool bitmap_has(const uint64_t *bitmap, uint64_t bit)
{
	return bitmap[bit / 64] >> bit % 64 & 1;
}
static inline void bitmap_set(uint64_t *bitmap, uint64_t bit)
{
	bitmap[bit / 64] |= 1UL << bit % 64;
}
static inline void bitmap_clear(uint64_t *bitmap, uint64_t bit)
{
	bitmap[bit / 64] &= ~(1UL << bit % 64);
}
uint64_t bitmap_count(const uint64_t *bitmap, uint64_t bits);
static inline size_t bitmap_words(uint64_t bits)
{
	return (size_t)((bits + 63) / 64);
}

#endif
