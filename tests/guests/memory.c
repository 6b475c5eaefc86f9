// SPDX-License-Identifier: MIT
/*
 * All RAM that the memory map promises is there, and no two pages of it are the
 * same one: writes a value of its own to the first and the last page of every
 * range before it reads any of them back.
 */
#include "rt.h"

const char guest_name[] = "memory";

#define PAGE 4096UL
#define RAM  1

/* In page n of a range's two: a word of its own, should both be the same page. */
static volatile uint64_t *probe(const MemoryRange *range, unsigned n)
{
	uint64_t first = (range->start + PAGE - 1) & -PAGE;
	uint64_t last = ((range->start + range->size) & -PAGE) - PAGE;

	return view_page(n ? last : first) + n;
}

static uint64_t mark(unsigned range, unsigned n)
{
	return 0x756d627261000000 + 2 * range + n;
}

static void swap_marks(const BootInfo *boot, uint64_t saved[][2])
{
	for (unsigned i = 0; i < boot->n_ranges; i++)
		for (unsigned n = 0; n < 2 && boot->ranges[i].type == RAM; n++) {
			saved[i][n] = *probe(&boot->ranges[i], n);
			*probe(&boot->ranges[i], n) = mark(i, n);
		}
	for (unsigned i = 0; i < boot->n_ranges; i++)
		for (unsigned n = 0; n < 2 && boot->ranges[i].type == RAM; n++)
			if (*probe(&boot->ranges[i], n) != mark(i, n))
				wrong("range %u: its page %u lost what was written", (uint64_t)i,
				      (uint64_t)n);
	for (unsigned i = boot->n_ranges; i-- > 0;)
		for (unsigned n = 2; n-- > 0 && boot->ranges[i].type == RAM;)
			*probe(&boot->ranges[i], n) = saved[i][n];
}

void guest_main(const BootInfo *boot)
{
	static uint64_t saved[RT_RANGES_MAX][2];
	uint64_t total = 0;

	for (unsigned i = 0; i < boot->n_ranges; i++) {
		const MemoryRange *range = &boot->ranges[i];
		say("range %x size %x type %u", range->start, range->size, (uint64_t)range->type);
		for (unsigned k = 0; k < i; k++)
			if (range->start < boot->ranges[k].start + boot->ranges[k].size &&
			    boot->ranges[k].start < range->start + range->size)
				wrong("ranges %u and %u overlap", (uint64_t)k, (uint64_t)i);
		if (range->type == RAM)
			total += range->size;
	}
	swap_marks(boot, saved);
	say("ram %u", total);
}
