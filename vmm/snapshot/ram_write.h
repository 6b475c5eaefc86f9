// SPDX-License-Identifier: MIT
/* RAM and its index into a new file. */
#ifndef UMBRA_SNAPSHOT_RAM_WRITE_H
#define UMBRA_SNAPSHOT_RAM_WRITE_H

#include "snapshot/file_format.h"
#include "snapshot/save_target.h"

/*
 * In: header->ram_offset, ram_size, index.offset, parent_id. Out: header->index's
 * length and checksum. All that is zero stays a hole.
 */
bool ram_write(SaveTarget *target, const SnapshotRam *ram, const SnapshotProgress *progress,
	       FileHeader *header, uint64_t *ret_stored, GError **error);

#endif
