// SPDX-License-Identifier: MIT
/*
 * x-umbra-inspect: the CET state of the guest's vCPUs.
 * x-umbra-set: writes registers of a paused vCPU after the same check as everything else.
 */
#ifndef UMBRA_CONTROL_INSPECT_H
#define UMBRA_CONTROL_INSPECT_H

#include "control/guest.h"

/* Adds the commands. `guest` stays the caller's and must outlive the server. */
void control_inspect_attach(ControlGuest *guest);

#endif
