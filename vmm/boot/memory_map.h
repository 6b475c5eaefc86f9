// SPDX-License-Identifier: MIT
/*
 * The guest's memory as firmware would describe it. The type numbers are those
 * of e820 (ACPI 15.1), which PVH uses as well.
 */
#ifndef UMBRA_BOOT_MEMORY_MAP_H
#define UMBRA_BOOT_MEMORY_MAP_H

#include "mem/guest_memory.h"

typedef enum MemoryType { MEMORY_TYPE_RAM = 1, MEMORY_TYPE_ACPI = 3 } MemoryType;

typedef struct MemoryMapEntry {
	uint64_t start;
	uint64_t size;
	MemoryType type;
} MemoryMapEntry;

#define MEMORY_MAP_MAX 4

typedef struct MemoryMap {
	MemoryMapEntry entries[MEMORY_MAP_MAX];
	unsigned n_entries;
} MemoryMap;

/* Entries in ascending order, without overlap. */
void memory_map_init(MemoryMap *map, const GuestMemory *memory);

#endif
