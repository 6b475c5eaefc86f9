// SPDX-License-Identifier: MIT
/*
 * Which pages of RAM the guest has written. KVM's log is one; those who want to know
 * (an incremental snapshot, a migration) have a set each, and none takes anything from
 * another. The log costs the guest one exit for each page (4 KiB, huge pages are split)
 * that it writes for the first time after each machine_dirty_collect(), so it is on only
 * while there is a set.
 *
 * All functions but machine_dirty_mark() are for one thread at a time, which may be any;
 * vCPUs may run meanwhile. machine_dirty_mark() is for any thread at any time.
 */
#ifndef UMBRA_MACHINE_DIRTY_H
#define UMBRA_MACHINE_DIRTY_H

#include "machine/machine.h"
#include "mem/dirty_set.h"

/*
 * A set of its own for the caller, all clear: it will hold every page that is written
 * after this call (and perhaps some that were written while it ran). NULL on error.
 */
DirtySet *machine_dirty_start(Machine *machine, GError **error);
/* Gives the set up. With the last one the log is turned off. */
void machine_dirty_stop(Machine *machine, DirtySet *set);

/*
 * Empties KVM's log into every set. After it, dirty_set_take() gives all pages written
 * before this call; copy pages only after both, and what is written meanwhile will be
 * found again. With the machine paused, nothing is missing.
 */
bool machine_dirty_collect(Machine *machine, GError **error);

/* Bytes of RAM written by somebody else than a vCPU or KVM: devices. */
void machine_dirty_mark(Machine *machine, uint64_t gpa, uint64_t length);

#endif
