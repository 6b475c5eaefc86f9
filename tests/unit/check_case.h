// SPDX-License-Identifier: MIT
/* One change to the example of judged_example.h, and what machine_state_check() finds then. */
#ifndef UMBRA_TESTS_CHECK_CASE_H
#define UMBRA_TESTS_CHECK_CASE_H

#include "judged_example.h"
#include "state/check.h"

/* `expected`: "WHERE WHAT: BITS, KVM", as in "machine xcr0: 5, refuses", "1 u_cet: 6, refuses". */
typedef struct Case {
	const char *name;
	void (*change)(MachineState *state, HostInfo *host);
	const char *expected[8];
} Case;

/* Each becomes a test: these problems and nothing else beside them. */
void check_cases_add(const Case *cases, size_t n);

static inline VcpuState *vcpu_of(MachineState *state, unsigned id)
{
	return state->vcpus->pdata[id];
}

#endif
