// SPDX-License-Identifier: MIT
/*
 * Cuts a stream of bytes into JSON values, by brackets: QMP clients need not
 * send newlines, and a read may end anywhere.
 *
 * Values are cut before they are parsed, so that what a client can make us hold
 * is its text and no more (a parsed tree is some hundred times larger), and so
 * that a character or an escape that two reads share is never seen in halves.
 */
#ifndef UMBRA_CONTROL_FRAMER_H
#define UMBRA_CONTROL_FRAMER_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum FrameResult {
	FRAME_NONE,	/* no whole value yet */
	FRAME_VALUE,	/* brackets match; the text may still be wrong JSON */
	FRAME_GARBAGE,	/* no object or array; the rest of its line is dropped */
	FRAME_TOO_LONG, /* `limit` bytes and no end; the rest of its line is dropped */
} FrameResult;

typedef struct Framer {
	GString *text;
	size_t limit; /* bytes of one value */
	size_t start; /* of the value being scanned */
	size_t at;    /* what stands before it has been scanned */
	unsigned depth;
	char quote; /* the open string's, or 0 */
	enum { FRAMER_BETWEEN, FRAMER_INSIDE, FRAMER_STRING, FRAMER_ESCAPE, FRAMER_DROPPING } state;
} Framer;

void framer_init(Framer *framer, size_t limit);
void framer_finish(Framer *framer);

/* Takes bytes as they come. Invalidates texts that framer_next() gave. */
void framer_push(Framer *framer, const char *bytes, size_t length);

/* The next value, in order; to be called until it gives FRAME_NONE. */
FrameResult framer_next(Framer *framer, const char **ret_text, size_t *ret_length);

#endif
