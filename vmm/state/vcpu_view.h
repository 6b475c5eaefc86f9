// SPDX-License-Identifier: MIT
/* What there is to see of a stopped vCPU's CET state, and what is needed to judge it: plain data.
 */
#ifndef UMBRA_STATE_VCPU_VIEW_H
#define UMBRA_STATE_VCPU_VIEW_H

#include "umbra/cet.h"

/* What decides how a vCPU translates addresses. */
typedef struct PagingState {
	uint64_t cr0, cr3, cr4, efer;
} PagingState;

typedef struct VcpuView {
	unsigned id;
	unsigned cpl; /* SS.DPL: SDM 3A, 5.5; with VMX always the CPL */
	uint64_t rip;
	PagingState paging;
	CetState cet;
	CetCpu guest; /* as the guest's CPUID has it */
	CetCpu host;
} VcpuView;

struct MachineState;

/* The same of a state that is not live: one of its vCPUs, and the host it was taken on. */
void vcpu_view_of_state(const struct MachineState *state, unsigned id, VcpuView *ret_view);

#endif
