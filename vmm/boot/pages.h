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
 * Copies `size` bytes, but for pages (counted from the first byte) that are all
 * zero: memory that is zero already stays untouched, and costs nothing.
 */
void pages_copy(uint8_t *to, const uint8_t *from, uint64_t size);

/*
 * A checksum that finds accidents, not malice: two sums over 64-bit words, the
 * second one of the first one's steps, so that order counts (as Fletcher's).
 * Pages of zeros add nothing, so holes of a file need not be looked at.
 */
typedef struct PagesSum {
	uint64_t sum[2], sums[2];
} PagesSum;

void pages_sum_init(PagesSum *sum);

/* `size` bytes, a multiple of a page, that lie at `offset` of the whole; in ascending order. */
void pages_sum_add(PagesSum *sum, const uint8_t *bytes, uint64_t size, uint64_t offset);
uint64_t pages_sum_value(const PagesSum *sum);

#endif
