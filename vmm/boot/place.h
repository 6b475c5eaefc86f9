// SPDX-License-Identifier: MIT
/* Where things may go in guest memory, and how much memory they would need. */
#ifndef UMBRA_BOOT_PLACE_H
#define UMBRA_BOOT_PLACE_H

#include "mem/guest_memory.h"

/* What the kernel occupies from its entry on; [start, end). */
typedef struct PlaceRange {
	uint64_t start;
	uint64_t end;
} PlaceRange;

#define PLACE_RANGES_MAX 40 /* an ELF's segments and some more */

typedef struct Place {
	PlaceRange taken[PLACE_RANGES_MAX];
	unsigned n_taken;
} Place;

/*
 * Whether [gpa, gpa + size) of the kernel `path` is RAM. If not: UMBRA_ERROR_USAGE
 * with the memory that would do, or UMBRA_ERROR_INPUT if no size would.
 */
bool place_check(const GuestMemory *memory, const char *path, uint64_t gpa, uint64_t size,
		 GError **error);

void place_take(Place *place, uint64_t gpa, uint64_t size);

/*
 * The highest page-aligned place for `size` bytes of the initrd `path` that ends
 * at or below `limit` and the MMIO hole, above the first MiB and beside the
 * kernel. UMBRA_ERROR_USAGE with the memory that would do.
 */
bool place_initrd(const Place *place, const GuestMemory *memory, const char *path, uint64_t size,
		  uint64_t limit, uint64_t *ret_gpa, GError **error);

#endif
