// SPDX-License-Identifier: MIT
/* Which pages of RAM can hold anything but zeros. */
#ifndef UMBRA_MEM_PRESENCE_H
#define UMBRA_MEM_PRESENCE_H

#include "mem/guest_memory.h"

/*
 * A bitmap over RAM as in dirty_set.h (g_free). Clear bits are pages that were never
 * touched: looking into them would only make the kernel provide them. If the kernel
 * does not tell (/proc/self/pagemap), or RAM is mapped from a file, all bits are set.
 */
uint64_t *memory_presence(const GuestMemory *memory);

#endif
