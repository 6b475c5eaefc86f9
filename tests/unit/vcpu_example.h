// SPDX-License-Identifier: MIT
/* A vCPU in ring 3 of Linux with a shadow stack, its kernel with IBT: the tests' example. */
#ifndef UMBRA_TESTS_VCPU_EXAMPLE_H
#define UMBRA_TESTS_VCPU_EXAMPLE_H

#include "state/vcpu_view.h"

static inline VcpuView vcpu_example(unsigned id)
{
	const CetCpu cpu = {
		.features =
			CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM | CET_FEATURE_XSAVES,
		.linear_bits = 48,
		.xss = CET_XSS_USER | CET_XSS_SUPERVISOR,
	};

	return (VcpuView){
		.id = id,
		.cpl = 3,
		.rip = 0x401234,
		.paging = {.cr0 = 0x80050033, .cr3 = 0x1234000, .cr4 = 0x8006f0, .efer = 0xd01},
		.cet = {.has = (1u << CET_N_REGS) - 1 + CET_HAS_XSS + CET_HAS_CR,
			.value = {[CET_U_CET] = 1,
				  [CET_S_CET] = 4,
				  [CET_PL3_SSP] = 0x7fff00001000,
				  [CET_GUEST_SSP] = 0x7fff00000ff0},
			.xss = CET_XSS_USER,
			.cr0 = 0x80050033,
			.cr4 = 0x8006f0},
		.guest = cpu,
		.host = cpu,
	};
}

#endif
