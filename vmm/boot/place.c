// SPDX-License-Identifier: MIT
#include "boot/place.h"

#include "base/error.h"
#include "base/layout.h"

#include <inttypes.h>

#define PAGE 4096UL

static uint64_t mib_up(uint64_t bytes)
{
	return bytes / LAYOUT_MIB + (bytes % LAYOUT_MIB != 0);
}

bool place_check(const GuestMemory *memory, const char *path, uint64_t gpa, uint64_t size,
		 GError **error)
{
	uint64_t needed, end;

	if (guest_memory_at(memory, gpa, size))
		return true;
	if (__builtin_add_overflow(gpa, size, &end) || end > LAYOUT_RAM_MAX ||
	    (gpa < LAYOUT_HOLE_END && end > LAYOUT_HOLE_START))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s' wants %" PRIu64 " bytes at 0x%" PRIx64
				  ", where no guest has memory",
				  path, size, gpa);
	needed = gpa >= LAYOUT_HOLE_END ? end - (LAYOUT_HOLE_END - LAYOUT_HOLE_START) : end;
	return umbra_fail(error, UMBRA_ERROR_USAGE,
			  "kernel '%s' does not fit into %" PRIu64 " MiB of memory: its own parts "
			  "need %" PRIu64 " MiB, try --memory %" PRIu64 "M",
			  path, memory->size / LAYOUT_MIB, mib_up(needed), mib_up(needed) * 2);
}

void place_take(Place *place, uint64_t gpa, uint64_t size)
{
	g_assert(place->n_taken < PLACE_RANGES_MAX);
	place->taken[place->n_taken++] = (PlaceRange){.start = gpa, .end = gpa + size};
}

/* The highest place below `top`, or 0. Each round that finds a range in the way goes below it. */
static uint64_t highest_gap(const Place *place, uint64_t size, uint64_t top)
{
	bool moved = true;
	uint64_t start = 0;

	while (moved) {
		if (top < size || top - size < LAYOUT_HIGH_RAM)
			return 0;
		start = (top - size) & ~(PAGE - 1);
		if (start < LAYOUT_HIGH_RAM)
			return 0;
		moved = false;
		for (unsigned i = 0; i < place->n_taken && !moved; i++) {
			const PlaceRange *taken = &place->taken[i];

			if (start < taken->end && taken->start < start + size) {
				top = taken->start;
				moved = true;
			}
		}
	}
	return start;
}

/* The least memory with which it would fit: behind the kernel. */
static uint64_t memory_needed(const Place *place, uint64_t size)
{
	uint64_t behind = LAYOUT_HIGH_RAM;

	for (unsigned i = 0; i < place->n_taken; i++)
		if (place->taken[i].end <= LAYOUT_HOLE_START)
			behind = MAX(behind, place->taken[i].end);
	return (behind + PAGE - 1) / PAGE * PAGE + (size + PAGE - 1) / PAGE * PAGE;
}

bool place_initrd(const Place *place, const GuestMemory *memory, const char *path, uint64_t size,
		  uint64_t limit, uint64_t *ret_gpa, GError **error)
{
	uint64_t low_ram = memory->regions[0].size;
	uint64_t start = highest_gap(place, size, MIN(limit, low_ram));
	uint64_t needed;

	if (start != 0) {
		*ret_gpa = start;
		return true;
	}
	limit = MIN(limit, LAYOUT_HOLE_START);
	if (size > limit || (needed = memory_needed(place, size)) > limit)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "initrd '%s' of %" PRIu64 " MiB does not fit below the kernel's "
				  "limit of %" PRIu64 " MiB, whatever the memory",
				  path, mib_up(size), limit / LAYOUT_MIB);
	return umbra_fail(error, UMBRA_ERROR_USAGE,
			  "initrd '%s' of %" PRIu64 " MiB does not fit beside the kernel into "
			  "%" PRIu64 " MiB of memory: --memory %" PRIu64 "M would hold both",
			  path, mib_up(size), memory->size / LAYOUT_MIB, mib_up(needed));
}
