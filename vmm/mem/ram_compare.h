// SPDX-License-Identifier: MIT
/* Two guests' RAM, page by page. */
#ifndef UMBRA_MEM_RAM_COMPARE_H
#define UMBRA_MEM_RAM_COMPARE_H

#include "mem/guest_memory.h"
#include "state/ram_difference.h"

/*
 * Both must be of one size. Pages of which neither bitmap has the bit (in the order of
 * MemoryRegion.offset) are zero in both, and are not looked at: a page of a file's hole
 * costs as much as any other.
 */
void ram_compare(const GuestMemory *a, const GuestMemory *b, const uint64_t *pages_a,
		 const uint64_t *pages_b, RamDifference *ret_difference);

#endif
