// SPDX-License-Identifier: MIT
/* Two guests' RAM, page by page. */
#ifndef UMBRA_MEM_RAM_COMPARE_H
#define UMBRA_MEM_RAM_COMPARE_H

#include "mem/guest_memory.h"
#include "state/ram_difference.h"

/* Both must be of one size. */
void ram_compare(const GuestMemory *a, const GuestMemory *b, RamDifference *ret_difference);

#endif
