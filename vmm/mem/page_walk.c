// SPDX-License-Identifier: MIT
#include "mem/page_walk.h"

#include <string.h>

#define CR0_PG	       (1UL << 31)
#define CR4_LA57       (1UL << 12)
#define EFER_LMA       (1UL << 10)

#define ENTRY_PRESENT  1UL
#define ENTRY_WRITE    (1UL << 1)
#define ENTRY_USER     (1UL << 2)
#define ENTRY_DIRTY    (1UL << 6)
#define ENTRY_LARGE    (1UL << 7)
#define ENTRY_ADDRESS  0x000ffffffffff000UL

#define PAGE_SHIFT     12U
#define BITS_PER_LEVEL 9U
#define ENTRIES	       512U
#define HIGHEST_LARGE  3U /* level 3 maps 1 GiB, level 2 maps 2 MiB, level 1 maps 4 KiB */

unsigned paging_linear_bits(const PagingState *paging)
{
	return paging->cr4 & CR4_LA57 ? 57 : 48;
}

static bool canonical(const PagingState *paging, uint64_t linear)
{
	unsigned unused = 64 - paging_linear_bits(paging);

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static bool read_entry(const GuestMemory *memory, uint64_t table, uint64_t index,
		       uint64_t *ret_entry)
{
	const void *from =
		guest_memory_at(memory, table + index * sizeof(uint64_t), sizeof(uint64_t));

	if (from)
		*ret_entry = __atomic_load_n((const uint64_t *)from, __ATOMIC_RELAXED);
	return from != NULL;
}

static PageWalkResult found(const GuestMemory *memory, uint64_t entry, unsigned level,
			    uint64_t linear, bool uppers_writable, bool user, Page *ret_page)
{
	uint64_t size = 1UL << (PAGE_SHIFT + BITS_PER_LEVEL * (level - 1));
	uint64_t inside = linear & (size - 1);
	/* Bit 12 of a large page's entry is PAT, and all below its size must not count. */
	uint64_t gpa = (entry & ENTRY_ADDRESS & ~(size - 1)) + inside;

	*ret_page = (Page){
		.gpa = gpa,
		.size = size,
		.user = user,
		.shadow_stack = uppers_writable && !(entry & ENTRY_WRITE) && (entry & ENTRY_DIRTY),
		.host = guest_memory_at(memory, gpa, size - inside),
	};
	return ret_page->host ? PAGE_WALK_OK : PAGE_WALK_OUTSIDE_RAM;
}

PageWalkResult page_walk(const GuestMemory *memory, const PagingState *paging, uint64_t linear,
			 Page *ret_page)
{
	uint64_t entry = paging->cr3;
	bool writable = true, user = true;

	if (!(paging->cr0 & CR0_PG) || !(paging->efer & EFER_LMA))
		return PAGE_WALK_NOT_64_BIT;
	if (!canonical(paging, linear))
		return PAGE_WALK_NOT_CANONICAL;
	for (unsigned level = paging->cr4 & CR4_LA57 ? 5 : 4; level >= 1; level--) {
		unsigned shift = PAGE_SHIFT + BITS_PER_LEVEL * (level - 1);
		uint64_t table = entry & ENTRY_ADDRESS;

		if (!read_entry(memory, table, linear >> shift & (ENTRIES - 1), &entry))
			return PAGE_WALK_OUTSIDE_RAM;
		if (!(entry & ENTRY_PRESENT))
			return PAGE_WALK_NOT_MAPPED;
		user = user && (entry & ENTRY_USER);
		if (level == 1 || (level <= HIGHEST_LARGE && (entry & ENTRY_LARGE)))
			return found(memory, entry, level, linear, writable, user, ret_page);
		writable = writable && (entry & ENTRY_WRITE);
	}
	return PAGE_WALK_NOT_MAPPED;
}
