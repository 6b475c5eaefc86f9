/* SPDX-License-Identifier: MIT */
/* Starting the other processors, by INIT-SIPI through the trampoline in cpus_ap.S. */
#ifndef UMBRA_TESTS_CPUS_START_H
#define UMBRA_TESTS_CPUS_START_H

#include "rt.h"

#define CPUS_IDS 256

extern volatile uint32_t ap_count;		 /* those that are there */
extern volatile uint64_t ap_seen[CPUS_IDS / 64]; /* a bit for each of their APIC ids */

/* Fills in the APIC ids of the MADT's enabled processors, and returns how many there are. */
unsigned cpus_find(const BootInfo *boot, uint8_t ret_ids[CPUS_IDS]);
uint8_t cpus_own_id(void);

/* Once, before any is started. */
void cpus_prepare(void);
/*
 * The processor enters `entry` with its stack at `top`; without one it sleeps. Only one
 * at a time can be given an entry: cpus_await() it before the next.
 */
void cpus_start(uint8_t id, void (*entry)(void), void *top);
/* Until `n` have said that they are there, or for so long that no more will. */
void cpus_await(unsigned n);

#endif
