// SPDX-License-Identifier: MIT
/*
 * x-umbra-state: all that the guest is but its RAM, as inspect/state_json.h has it: for
 * `umbra check` and `umbra diff`. The guest stands still meanwhile, and goes on.
 */
#ifndef UMBRA_CONTROL_STATE_H
#define UMBRA_CONTROL_STATE_H

#include "control/guest.h"

/* Adds the command. `guest` stays the caller's and must outlive the server. */
void control_state_attach(ControlGuest *guest);

#endif
