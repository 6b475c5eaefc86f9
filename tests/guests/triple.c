// SPDX-License-Identifier: MIT
/* A triple fault: an exception without a table to handle it. */
#include "rt.h"

const char guest_name[] = "triple";

void guest_main(const BootInfo *boot)
{
	static const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} nothing = {0, 0};

	(void)boot;
	say_now();
	__asm__ volatile("lidt %0; ud2" ::"m"(nothing));
	wrong("it survived a triple fault");
}
