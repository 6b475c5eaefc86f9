// SPDX-License-Identifier: MIT
#include "mem/ram_compare.h"

#include <string.h>

#define PAGE 4096UL

typedef struct Comparison {
	const uint64_t *pages_a, *pages_b;
	RamDifference *difference;
} Comparison;

static void compare_page(const Comparison *comparison, const MemoryRegion *a, const MemoryRegion *b,
			 uint64_t at)
{
	RamDifference *difference = comparison->difference;

	if (memcmp(a->host + at, b->host + at, PAGE) == 0)
		return;
	if (difference->different < RAM_DIFFERENCE_FIRST)
		difference->first[difference->different] = a->gpa + at;
	difference->different++;
}

static void compare_region(const Comparison *comparison, const MemoryRegion *a,
			   const MemoryRegion *b)
{
	for (uint64_t at = 0; at < a->size; at += PAGE) {
		uint64_t page = (a->offset + at) / PAGE;
		uint64_t word = comparison->pages_a[page / 64] | comparison->pages_b[page / 64];

		if (word >> page % 64 & 1)
			compare_page(comparison, a, b, at);
	}
}

void ram_compare(const GuestMemory *a, const GuestMemory *b, const uint64_t *pages_a,
		 const uint64_t *pages_b, RamDifference *ret_difference)
{
	const Comparison comparison = {pages_a, pages_b, ret_difference};

	g_assert(a->size == b->size);
	*ret_difference = (RamDifference){.pages = a->size / PAGE};
	for (unsigned i = 0; i < a->n_regions; i++)
		compare_region(&comparison, &a->regions[i], &b->regions[i]);
}
