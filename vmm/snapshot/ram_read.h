// SPDX-License-Identifier: MIT
/* The RAM that one file of a chain holds. */
#ifndef UMBRA_SNAPSHOT_RAM_READ_H
#define UMBRA_SNAPSHOT_RAM_READ_H

#include "snapshot/snapshot_file.h"

typedef struct RamProgress {
	const SnapshotProgress *progress; /* NULL: nobody asks */
	uint64_t before;		  /* bytes of other files */
	uint64_t total;
} RamProgress;

/* All that is stored has its checksum, and in a full file all the rest is zero. */
bool ram_verify(const SnapshotFile *file, const RamProgress *progress, GError **error);

/* Into the whole RAM at `ram`, checksums compared. */
bool ram_apply(const SnapshotFile *file, uint8_t *ram, GError **error);

/* `n` bytes of one page. *ret_known is false if this file says nothing of it. */
bool ram_read_page(const SnapshotFile *file, uint64_t offset, uint8_t *to, size_t n,
		   bool *ret_known, GError **error);

#endif
