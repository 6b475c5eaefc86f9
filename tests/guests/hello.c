// SPDX-License-Identifier: MIT
/* The least: the guest runs, its output arrives, ACPI power-off ends it. */
#include "rt.h"

const char guest_name[] = "hello";

void guest_main(const BootInfo *boot)
{
	say("via %s", boot->via);
}
