// SPDX-License-Identifier: MIT
/* Signals of the process belong to the main thread; every other thread is made with them blocked.
 */
#ifndef UMBRA_BASE_SIGNALS_H
#define UMBRA_BASE_SIGNALS_H

#include <signal.h>

/*
 * All signals but those that a thread raises by a fault of its own (SIGSEGV, SIGBUS, …):
 * blocked, the kernel would kill the process past every handler, and the terminal would
 * stay as it is.
 */
void signals_for_thread(sigset_t *ret_set);

#endif
