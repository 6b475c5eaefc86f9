// SPDX-License-Identifier: MIT
/* Unpacking the payload of a bzImage on the host: zstd and gzip. */
#ifndef UMBRA_BOOT_UNPACK_H
#define UMBRA_BOOT_UNPACK_H

#include "boot/file.h"

/* An unpacked kernel; larger ones are refused. */
#define UNPACKED_MAX (1UL << 30)

typedef enum Packing { PACKING_UNKNOWN, PACKING_ZSTD, PACKING_GZIP } Packing;

/* What the first bytes at `offset` say. */
Packing unpack_packing(const BootFile *file, uint64_t offset);

/*
 * Unpacks [offset, offset + size) of `file`; the last four bytes say how much
 * comes out, which is checked. The result is in memory, padded to a page with
 * zeros. UMBRA_ERROR_INPUT if the payload is damaged.
 */
bool unpack(const BootFile *file, Packing packing, uint64_t offset, uint64_t size,
	    BootFile *ret_file, GError **error);

#endif
