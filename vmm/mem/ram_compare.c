// SPDX-License-Identifier: MIT
#include "mem/ram_compare.h"

#include <string.h>

#define PAGE 4096UL

static void compare_region(const MemoryRegion *a, const MemoryRegion *b, RamDifference *difference)
{
	for (uint64_t at = 0; at < a->size; at += PAGE) {
		if (memcmp(a->host + at, b->host + at, PAGE) == 0)
			continue;
		if (difference->different < RAM_DIFFERENCE_FIRST)
			difference->first[difference->different] = a->gpa + at;
		difference->different++;
	}
}

void ram_compare(const GuestMemory *a, const GuestMemory *b, RamDifference *ret_difference)
{
	g_assert(a->size == b->size);
	*ret_difference = (RamDifference){.pages = a->size / PAGE};
	for (unsigned i = 0; i < a->n_regions; i++)
		compare_region(&a->regions[i], &b->regions[i], ret_difference);
}
