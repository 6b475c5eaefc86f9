// SPDX-License-Identifier: MIT
/* A guest that writes faster than its RAM can be moved has to be slowed down. */
#ifndef UMBRA_MACHINE_THROTTLE_H
#define UMBRA_MACHINE_THROTTLE_H

#include "machine/machine.h"

/*
 * Lets all vCPUs stand still for `percent` of the time, 0 to 99; 0 ends it. From one
 * thread, which must end it before the machine is destroyed.
 */
void machine_throttle(Machine *machine, unsigned percent);

#endif
