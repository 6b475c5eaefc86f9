// SPDX-License-Identifier: MIT
/*
 * What two states differ in, walked along their descriptions (fields.h): for the
 * comparison after a load, and for people. Costs no allocation where nothing differs.
 */
#ifndef UMBRA_STATE_COMPARE_H
#define UMBRA_STATE_COMPARE_H

#include "state/machine_state.h"

typedef struct StateDifference {
	char *path; /* "sregs.cr4", "msrs.lstar", "cpuid.7.0.ecx", "lapic.requests[3]", "xsave" */
	char *a;    /* the values as people read them; "none" where there is none */
	char *b;
	bool moves; /* FIELD_MOVES: it need not mean anything */
} StateDifference;

/* For arrays of StateDifference. */
GPtrArray *state_differences_create(void);

/*
 * Appends what the structures `a` and `b` of one group differ in; each path begins
 * with `prefix` ("" for none: "vcpu 0: ", "serial.", …). Of long fields without
 * names the first byte that differs is told, and how many do.
 */
void state_compare(const StateGroup *group, const void *a, const void *b, const char *prefix,
		   GPtrArray *differences);

/* Two machines: itself, its vCPUs ("vcpu 0: regs.rip"), its devices ("serial.ier"). */
GPtrArray *machine_state_compare(const MachineState *a, const MachineState *b);

#endif
