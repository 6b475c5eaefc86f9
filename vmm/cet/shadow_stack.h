// SPDX-License-Identifier: MIT
/*
 * What stands on a shadow stack: an entry's kind follows from its value, its own
 * address, and whether the address it holds is shadow-stack memory as well.
 *
 * Sources: SDM 1, 17.2.3 (supervisor shadow stack token), 17.2.4 (restore and
 * previous-SSP tokens); Linux, arch/x86/kernel/shstk.c (signal frames).
 */
#ifndef UMBRA_CET_SHADOW_STACK_H
#define UMBRA_CET_SHADOW_STACK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ShadowStackKind {
	SHADOW_STACK_RETURN,	      /* a return address */
	SHADOW_STACK_RESTORE_TOKEN,   /* (address + 8) | 64-bit: RSTORSSP may switch to here */
	SHADOW_STACK_PREVIOUS_SSP,    /* old SSP | 2: where SAVEPREVSSP leaves a token */
	SHADOW_STACK_SUPERVISOR_FREE, /* its own address: a privilege change may switch to here */
	SHADOW_STACK_SUPERVISOR_BUSY, /* its own address | 1: one has, and has not come back */
	SHADOW_STACK_SIGNAL_FRAME,    /* old SSP | 1 << 63: below it stands the restorer */
	SHADOW_STACK_EMPTY,	      /* zero: never written */
	SHADOW_STACK_UNKNOWN,	      /* no canonical address and no token */
} ShadowStackKind;

/* Why a walk ended. */
typedef enum ShadowStackEnd {
	SHADOW_STACK_END_UNMAPPED,  /* at a page that the page tables do not map */
	SHADOW_STACK_END_NOT_STACK, /* at a page that is mapped, but no shadow stack */
	SHADOW_STACK_END_LIMIT,	    /* as many entries as were asked for */
	SHADOW_STACK_END_BAD_SSP,   /* the SSP itself is misaligned or not canonical */
	SHADOW_STACK_END_DAMAGED,   /* the page tables point outside of RAM */
	SHADOW_STACK_END_NONE_HERE, /* the SSP is zero: there is no shadow stack */
} ShadowStackEnd;

/* What an eight-byte read at a linear address found. */
typedef enum ShadowStackRead {
	SHADOW_STACK_READ_OK,
	SHADOW_STACK_READ_UNMAPPED,
	SHADOW_STACK_READ_NOT_STACK,
	SHADOW_STACK_READ_DAMAGED,
} ShadowStackRead;

typedef struct ShadowStackReader {
	ShadowStackRead (*read)(void *owner, uint64_t address, uint64_t *ret_value);
	void *owner;
	uint8_t linear_bits; /* canonical addresses repeat bit linear_bits - 1 */
} ShadowStackReader;

typedef struct ShadowStackEntry {
	uint64_t at;
	uint64_t value;
	ShadowStackKind kind;
} ShadowStackEntry;

/* "return", "restore-token", …: the words of JSON and text. */
const char *shadow_stack_kind_name(ShadowStackKind kind);
/* "unmapped", "not-shadow-stack", …, and a sentence for people. */
const char *shadow_stack_end_name(ShadowStackEnd end);
const char *shadow_stack_end_text(ShadowStackEnd end);

ShadowStackKind shadow_stack_classify(const ShadowStackReader *reader, uint64_t at, uint64_t value);

/*
 * Reads up to `max` entries upwards from `ssp`, the youngest first. Terminates
 * whatever the guest wrote: addresses only grow. *ret_n entries were written,
 * *ret_end_at is the address at which the walk ended.
 */
ShadowStackEnd shadow_stack_walk(const ShadowStackReader *reader, uint64_t ssp,
				 ShadowStackEntry *ret_entries, unsigned max, unsigned *ret_n,
				 uint64_t *ret_end_at);

#endif
