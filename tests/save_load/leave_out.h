// SPDX-License-Identifier: MIT
/* The mistake that tests of saved guests must find out: a CET register that is not loaded. */
#ifndef UMBRA_TESTS_LEAVE_OUT_H
#define UMBRA_TESTS_LEAVE_OUT_H

#include "state/machine_state.h"

/* All vCPUs then have the register of this name as a fresh one has it; NULL for none. */
void leave_out(MachineState *state, const char *name);

#endif
