// SPDX-License-Identifier: MIT
/* The tables in guest memory that the entry state refers to: GDT and, for long mode, page tables.
 */
#ifndef UMBRA_BOOT_ENTRY_H
#define UMBRA_BOOT_ENTRY_H

#include "boot/boot.h"

/* The identity map of long mode reaches so far; the kernel's entry must lie below. */
#define ENTRY_MAPPED (4 * LAYOUT_GIB)

void entry_write_tables(BootMode mode, GuestMemory *memory);

#endif
