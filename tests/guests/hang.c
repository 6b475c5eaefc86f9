// SPDX-License-Identifier: MIT
/* Sleeps for ever with interrupts off: only the VMM's own ways out end it. */
#include "rt.h"

const char guest_name[] = "hang";

void guest_main(const BootInfo *boot)
{
	(void)boot;
	say_now();
	halt_forever();
}
