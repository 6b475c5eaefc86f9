// SPDX-License-Identifier: MIT
#include "boot/memory_map.h"

#include "base/layout.h"

static void add(MemoryMap *map, uint64_t start, uint64_t size, MemoryType type)
{
	map->entries[map->n_entries++] =
		(MemoryMapEntry){.start = start, .size = size, .type = type};
}

void memory_map_init(MemoryMap *map, const GuestMemory *memory)
{
	map->n_entries = 0;
	add(map, 0, LAYOUT_EBDA, MEMORY_TYPE_RAM);
	add(map, LAYOUT_ACPI, LAYOUT_ACPI_MAX, MEMORY_TYPE_ACPI);
	add(map, LAYOUT_HIGH_RAM, memory->regions[0].size - LAYOUT_HIGH_RAM, MEMORY_TYPE_RAM);
	if (memory->n_regions > 1)
		add(map, memory->regions[1].gpa, memory->regions[1].size, MEMORY_TYPE_RAM);
}
