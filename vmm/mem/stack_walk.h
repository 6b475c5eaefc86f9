// SPDX-License-Identifier: MIT
/* Where the shadow stack of cet/ meets the page tables and the RAM of a guest. */
#ifndef UMBRA_MEM_STACK_WALK_H
#define UMBRA_MEM_STACK_WALK_H

#include "mem/page_walk.h"
#include "state/backtrace.h"

/*
 * Walks the shadow stack of a vCPU that does not run. In ring 3 the live SSP is
 * guest_ssp; in ring 0 Linux has no shadow stack of its own, and the user's is
 * parked in pl3_ssp. At most `max` entries, and never more than BACKTRACE_MAX.
 */
Backtrace *stack_walk(const GuestMemory *memory, const VcpuView *vcpu, unsigned max);

#endif
