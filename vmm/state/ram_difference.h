// SPDX-License-Identifier: MIT
/* What two guests' RAM differs in: plain data. */
#ifndef UMBRA_STATE_RAM_DIFFERENCE_H
#define UMBRA_STATE_RAM_DIFFERENCE_H

#include <stdint.h>

#define RAM_DIFFERENCE_FIRST 8

typedef struct RamDifference {
	uint64_t pages; /* of 4 KiB, in all */
	uint64_t different;
	uint64_t first[RAM_DIFFERENCE_FIRST]; /* guest-physical addresses of the first ones */
} RamDifference;

#endif
