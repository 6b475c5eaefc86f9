// SPDX-License-Identifier: MIT
#include "state/msr_ranges.h"

/*
 * Served, and not listed. A fresh vCPU has zeros in all of them but the default type (see
 * processors.c), so only that one travels when it is zero.
 */
const MsrRange msr_unlisted[] = {
	{0x2ff, 0x2ff, "MTRRs: SDM 3A, 12.11.2"},
	{0x200, 0x20f, "MTRRs, variable ranges"},
	{0x250, 0x250, "MTRRs, 64 KiB ranges"},
	{0x258, 0x259, "MTRRs, 16 KiB ranges"},
	{0x268, 0x26f, "MTRRs, 4 KiB ranges"},
	{0x400, 0x47f, "machine check banks, four registers each: KVM has 32"},
};
const size_t msr_n_unlisted = sizeof(msr_unlisted) / sizeof(msr_unlisted[0]);

const MsrRange *msr_range_find(const MsrRange *ranges, size_t n, uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (index >= ranges[i].first && index <= ranges[i].last)
			return &ranges[i];
	return NULL;
}
