// SPDX-License-Identifier: MIT
/*
 * A machine that only remembers what was done to it. Link fake_machine.c in
 * place of the machine to test what stands above it without KVM.
 */
#ifndef UMBRA_TESTS_FAKE_MACHINE_H
#define UMBRA_TESTS_FAKE_MACHINE_H

#include "machine/machine.h"

struct Machine {
	bool running;
	bool held;
	bool given_away;
	bool ended;
	unsigned cpus;
	unsigned presses; /* of the power button */
	GuestMemory memory;
	VcpuView views[4];
	unsigned n_views;  /* taken */
	unsigned n_writes; /* of registers */
	bool write_fails;
	MachineState *(*save)(void); /* NULL: fails */
};

#endif
