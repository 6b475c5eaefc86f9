// SPDX-License-Identifier: MIT
/* The runtime itself: an exception that nobody expects is reported, not lost. */
#include "rt.h"

const char guest_name[] = "exception";

void guest_main(const BootInfo *boot)
{
	(void)boot;
	__asm__ volatile("ud2");
}
