// SPDX-License-Identifier: MIT
/* What the files of the check share. Nobody else includes it. */
#ifndef UMBRA_STATE_CHECK_INTERNAL_H
#define UMBRA_STATE_CHECK_INTERNAL_H

#include "state/check.h"

typedef struct Check {
	const MachineState *state;
	const HostInfo *host;
	GPtrArray *problems; /* of StateProblem */
} Check;

#define CHECK_MACHINE (-1)

/* What is found, as it is told: `rule` completes "bits …", or "NAME=VALUE: …" without bits. */
typedef struct Finding {
	int vcpu; /* or CHECK_MACHINE */
	uint64_t value;
	uint64_t bits;
	RegVerdict kvm;
	const char *remedy;
} Finding;

/* Adds a problem; copies `what` and `rule`. */
void check_add(Check *check, const Finding *finding, const char *what, const char *rule);
void check_addf(Check *check, const Finding *finding, const char *what, const char *rule, ...)
	G_GNUC_PRINTF(4, 5);

/* Remedies that several rules share. */
extern const char check_remedy_choose[];  /* another destination */
extern const char check_remedy_damaged[]; /* another file */

/* Each looks at its own part of the state. Those of a vCPU get one of state->vcpus. */
void check_cpuid(Check *check);
void check_machine(Check *check);
void check_registers(Check *check, const VcpuState *vcpu);
void check_xsave(Check *check, const VcpuState *vcpu);
void check_msrs(Check *check, const VcpuState *vcpu);
void check_tsc(Check *check, const VcpuState *vcpu);

#endif
