// SPDX-License-Identifier: MIT
/* A stopped machine in which every field that is described has a value of its own. */
#ifndef UMBRA_TESTS_STATE_EXAMPLE_H
#define UMBRA_TESTS_STATE_EXAMPLE_H

#include "state/machine_state.h"

/* Walks the descriptions: a new field is in it without a change here. */
MachineState *state_example(unsigned vcpus, uint64_t memory);

/* Asserts that all that is described is the same. */
void state_assert_equal(const MachineState *a, const MachineState *b);

#endif
