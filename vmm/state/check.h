// SPDX-License-Identifier: MIT
/* Would a stopped machine run on here as if nothing had happened? Plain data in, plain data out. */
#ifndef UMBRA_STATE_CHECK_H
#define UMBRA_STATE_CHECK_H

#include "state/host_info.h"
#include "state/machine_state.h"

/* One thing that speaks against it. */
typedef struct StateProblem {
	int vcpu;   /* -1: it concerns the machine */
	char *what; /* "u_cet", "cpuid 7.0 ecx", "xcr0", "msr 0x…", "capability xsave2", … */
	char *text; /* all of it in one line for people, without the vCPU */
	uint64_t value;
	uint64_t bits; /* the offending ones; 0 where there are none to name */
	char *rule;
	RegVerdict kvm;
	const char *remedy;
} StateProblem;

/*
 * Everything that speaks against loading `state` on `host`, of StateProblem; empty if
 * nothing does. What concerns the machine comes first. CET registers by cet_check(),
 * with the guest's CPUID as the state has it; CPUID features bit by bit, XCR0, XSS,
 * control registers, capabilities, MSRs, TSC frequency, numbers of vCPUs. What a guest
 * cannot notice is no problem, and neither is anything of a state that this very host
 * has given. Without a usable KVM there is one problem, and that is it.
 */
GPtrArray *machine_state_check(const MachineState *state, const HostInfo *host);

#endif
