// SPDX-License-Identifier: MIT
/*
 * Kernels are large and a fourth of their bytes are zeros: what looks at all
 * pages is here, and looks at each one only once.
 */
#ifndef UMBRA_BOOT_PAGES_H
#define UMBRA_BOOT_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES 4096UL

/*
 * The next run of pages at or behind `from` that are not all zero, as [start,
 * end). `size` and `from` are multiples of a page. False if there is none.
 */
bool pages_next_run(const uint8_t *bytes, uint64_t size, uint64_t from, uint64_t *ret_start,
		    uint64_t *ret_end);

/*
 * Finds accidents, not malice. Two sums over 64-bit words, the second one of
 * the first one's steps, so that order counts (as Fletcher's).
 */
uint64_t pages_checksum(const uint8_t *bytes, uint64_t size);

#endif
