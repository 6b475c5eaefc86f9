// SPDX-License-Identifier: MIT
#include "migrate/missing.h"

#include "base/error.h"

#include <errno.h>
#include <sys/mman.h>

/*
 * Memory is registered in pieces of 2 MiB or a multiple, since each piece by itself may
 * become a mapping, of which the kernel allows a process 65,530.
 */
#define PIECE_PAGES 512u
#define PIECES_MAX  4096u

typedef bool (*Act)(Userfault *fault, void *start, size_t length, GError **error);

/* Calls `act`, if any, for each stretch of pieces with missing pages; counts them. */
static bool for_each_stretch(Userfault *fault, const PageSpace *space, const uint64_t *missing,
			     uint64_t piece, Act act, unsigned *ret_n, GError **error)
{
	uint64_t page = bitmap_next(missing, 0, space->pages);

	for (*ret_n = 0; page < space->pages; (*ret_n)++) {
		uint64_t first = page - page % piece, end = first;

		while (page < space->pages && page < end + piece) {
			end = MIN(page - page % piece + piece, space->pages);
			page = bitmap_next(missing, end, space->pages);
		}
		if (act &&
		    !act(fault, space->bytes + first * PAGE_SIZE, (end - first) * PAGE_SIZE, error))
			return false;
	}
	return true;
}

static bool discard(Userfault *fault, void *start, size_t length, GError **error)
{
	(void)fault;
	return madvise(start, length, MADV_DONTNEED) == 0 ||
	       umbra_fail_errno(error, errno, "discarding %zu bytes of old pages", length);
}

/* In this order: a huge page that comes by itself would fill what was discarded. */
bool missing_make(Userfault *fault, const PageSpace *space, const uint64_t *missing, GError **error)
{
	uint64_t piece = PIECE_PAGES;
	unsigned n;

	for (;; piece *= 2) {
		for_each_stretch(fault, space, missing, piece, NULL, &n, NULL);
		if (n <= PIECES_MAX)
			break;
	}
	return for_each_stretch(fault, space, missing, piece, userfault_register, &n, error) &&
	       for_each_stretch(fault, space, missing, 1, discard, &n, error);
}
