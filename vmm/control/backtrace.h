// SPDX-License-Identifier: MIT
/* x-umbra-backtrace: the guest's call stack, read off its shadow stack. */
#ifndef UMBRA_CONTROL_BACKTRACE_H
#define UMBRA_CONTROL_BACKTRACE_H

#include "control/guest.h"

/* Adds the command. `guest` stays the caller's and must outlive the server. */
void control_backtrace_attach(ControlGuest *guest);

#endif
