// SPDX-License-Identifier: MIT
/* ACPI reset ends the guest, and is told apart from power-off. */
#include "rt.h"

const char guest_name[] = "reset";

void guest_main(const BootInfo *boot)
{
	(void)boot;
	say_now();
	out8(UMBRA_TEST_RESET_PORT, UMBRA_TEST_RESET_VALUE);
	/* The vCPU may run on for a moment; it must not come far. */
	halt_forever();
}
