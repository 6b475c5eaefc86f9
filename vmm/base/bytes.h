// SPDX-License-Identifier: MIT
/* Work on much memory at once: what RAM costs to save and to move. */
#ifndef UMBRA_BASE_BYTES_H
#define UMBRA_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits (xxhash.com). A seed chains pieces: the sum of what came before. */
uint64_t bytes_checksum(const void *data, size_t size, uint64_t seed);

/* True if all are zero. `size` is a multiple of 128, `data` aligned to 32. */
bool bytes_are_zero(const void *data, size_t size);

/*
 * `size` is a multiple of 128, both are aligned to 32 and do not overlap. As fast as memcpy(),
 * which leaves that much to `rep movsb`: an emulated processor does that byte by byte.
 */
void bytes_copy(void *to, const void *from, size_t size);

#endif
