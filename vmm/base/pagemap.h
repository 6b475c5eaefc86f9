// SPDX-License-Identifier: MIT
/* Which pages of this process's memory there are: the others were never touched. */
#ifndef UMBRA_BASE_PAGEMAP_H
#define UMBRA_BASE_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -1 if the kernel does not tell (errno). To be closed with close(). */
int pagemap_open(void);

/*
 * A bit for each of the `n` pages of 4096 bytes from `start` on that is in memory or in swap; the
 * last word's other bits are clear. False: the kernel does not tell, and the bitmap is worth
 * nothing.
 */
bool pagemap_find(int pagemap, const void *start, size_t n, uint64_t *ret_pages);

#endif
