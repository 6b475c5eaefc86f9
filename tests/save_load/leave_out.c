// SPDX-License-Identifier: MIT
#include "leave_out.h"

#include <string.h>

void leave_out(MachineState *state, const char *name)
{
	unsigned reg = 0;

	while (name && reg < CET_N_REGS && strcmp(cet_registers[reg].name, name) != 0)
		reg++;
	for (unsigned i = 0; name && reg < CET_N_REGS && i < state->vcpus->len; i++) {
		VcpuState *vcpu = state->vcpus->pdata[i];

		vcpu->cet.value[reg] = 0;
	}
}
