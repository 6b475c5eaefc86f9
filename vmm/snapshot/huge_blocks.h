// SPDX-License-Identifier: MIT
/*
 * Blocks of a new file as huge pages. For a file system in memory (tmpfs) every small page is
 * work, twice as much as copying it; a huge page is made in one go and then filled through a
 * mapping (docs/figures.md has the counts). The kernel makes one, of pages that are there and of
 * holes, for whoever asks by MADV_COLLAPSE (Linux 6.1), however the file system is mounted.
 */
#ifndef UMBRA_SNAPSHOT_HUGE_BLOCKS_H
#define UMBRA_SNAPSHOT_HUGE_BLOCKS_H

#include "snapshot/save_target.h"

typedef struct HugeBlocks {
	SaveTarget *target;
	uint8_t *reserved; /* addresses for a block and for what its alignment takes */
	uint8_t *window;   /* the block among them */
	bool off;	   /* not on this file system, or the kernel has refused one */
} HugeBlocks;

void huge_blocks_init(HugeBlocks *blocks, SaveTarget *target);
void huge_blocks_finish(HugeBlocks *blocks);

/*
 * The pages in `stored` of a whole block of RAM, to this place in the file, a multiple of
 * FILE_BLOCK. False: not here, not for so few pages, or there is no room; nothing is wrong, and the
 * block is to be written as others are.
 */
bool huge_blocks_write(HugeBlocks *blocks, const uint64_t *stored, const uint8_t *block,
		       uint64_t place);

#endif
