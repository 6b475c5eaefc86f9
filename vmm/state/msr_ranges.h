// SPDX-License-Identifier: MIT
/* Which MSRs a KVM serves beyond those that it lists (KVM_GET_MSR_INDEX_LIST). */
#ifndef UMBRA_STATE_MSR_RANGES_H
#define UMBRA_STATE_MSR_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MsrRange {
	uint32_t first, last;
	const char *why;
} MsrRange;

/* Served by every KVM, and not listed by all. */
extern const MsrRange msr_unlisted[];
extern const size_t msr_n_unlisted;

const MsrRange *msr_range_find(const MsrRange *ranges, size_t n, uint32_t index);

#endif
