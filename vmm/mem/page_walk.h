// SPDX-License-Identifier: MIT
/*
 * A guest's own page tables: from a linear to a physical address, as the CPU
 * would walk (SDM 3A, 4.5 4-level and 5-level paging). The tables are the
 * guest's to write at any time: each entry is read once, and addresses outside
 * RAM end the walk.
 */
#ifndef UMBRA_MEM_PAGE_WALK_H
#define UMBRA_MEM_PAGE_WALK_H

#include "mem/guest_memory.h"
#include "state/vcpu_view.h"

typedef enum PageWalkResult {
	PAGE_WALK_OK,
	PAGE_WALK_NOT_MAPPED,
	PAGE_WALK_NOT_CANONICAL,
	PAGE_WALK_OUTSIDE_RAM, /* a table or the page itself */
	PAGE_WALK_NOT_64_BIT,  /* paging is off, or not that of long mode */
} PageWalkResult;

typedef struct Page {
	uint64_t gpa;	     /* of the address asked for */
	uint64_t size;	     /* 4 KiB, 2 MiB or 1 GiB */
	bool user;	     /* ring 3 may use it */
	bool shadow_stack;   /* R/W clear and dirty set in the last entry, R/W set in all others
				(SDM 3A, 4.6.1) */
	const uint8_t *host; /* its bytes up to the end of the page */
} Page;

/* Bits of a linear address in use: 48, or 57 with CR4.LA57. */
unsigned paging_linear_bits(const PagingState *paging);

PageWalkResult page_walk(const GuestMemory *memory, const PagingState *paging, uint64_t linear,
			 Page *ret_page);

#endif
