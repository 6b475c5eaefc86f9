// SPDX-License-Identifier: MIT
/*
 * Runs code where no memory is: KVM cannot fetch the instruction and gives up
 * with KVM_EXIT_INTERNAL_ERROR, which the VMM has to explain.
 */
#include "rt.h"

const char guest_name[] = "mmio_exec";

void guest_main(const BootInfo *boot)
{
	void (*nowhere)(void) = (void (*)(void))at(UMBRA_TEST_EMPTY_MMIO);

	(void)boot;
	say_now();
	nowhere();
	wrong("it returned from where no memory is");
}
