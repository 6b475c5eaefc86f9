// SPDX-License-Identifier: MIT
#include "state/vcpu_view.h"

#include "state/machine_state.h"

void vcpu_view_of_state(const MachineState *state, unsigned id, VcpuView *ret_view)
{
	const VcpuState *vcpu = state->vcpus->pdata[id];

	*ret_view = (VcpuView){
		.id = id,
		.cpl = vcpu->sregs.ss.dpl & 3,
		.rip = vcpu->regs.rip,
		.paging = {.cr0 = vcpu->sregs.cr0,
			   .cr3 = vcpu->sregs.cr3,
			   .cr4 = vcpu->sregs.cr4,
			   .efer = vcpu->sregs.efer},
		.cet = vcpu->cet,
		.guest = cet_cpuid_features(state->cpuid),
		.host = state->host,
	};
	/* There are two widths; a file may say anything, and rules shift by it. */
	ret_view->host.linear_bits = state->host.linear_bits == 57 ? 57 : 48;
	ret_view->cet.cr0 = vcpu->sregs.cr0;
	ret_view->cet.cr4 = vcpu->sregs.cr4;
	ret_view->cet.has |= CET_HAS_CR;
}
