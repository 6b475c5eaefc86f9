// SPDX-License-Identifier: MIT
/*
 * What CPUID shows of CET, of the hypervisor and of the processors, one
 * `key value` per line; a VMM that hides CET must hide all of it.
 */
#include "rt.h"

const char guest_name[] = "cpuid";

static void show_bit(const char *key, uint32_t value, unsigned bit)
{
	say("%s %u", key, (uint64_t)(value >> bit & 1));
}

static void show_text(const char *key, uint32_t a, uint32_t b, uint32_t c)
{
	char text[13] = {0};

	memcpy(text, &a, 4);
	memcpy(text + 4, &b, 4);
	memcpy(text + 8, &c, 4);
	say("%s %s", key, text);
}

void guest_main(const BootInfo *boot)
{
	Cpuid leaf;
	uint32_t max = cpuid(0, 0).eax;

	(void)boot;
	leaf = cpuid(0, 0);
	show_text("vendor", leaf.ebx, leaf.edx, leaf.ecx);
	leaf = cpuid(1, 0);
	show_bit("hypervisor", leaf.ecx, 31);
	show_bit("tsc_deadline", leaf.ecx, 24);
	say("apic_id %u", (uint64_t)(leaf.ebx >> 24));
	say("logical %u", (uint64_t)(leaf.ebx >> 16 & 0xff));
	leaf = cpuid(0x40000000, 0);
	show_text("hypervisor_vendor", leaf.ebx, leaf.ecx, leaf.edx);
	leaf = cpuid(7, 0);
	show_bit("shstk", leaf.ecx, 7);
	show_bit("ibt", leaf.edx, 20);
	leaf = max >= 13 ? cpuid(13, 1) : (Cpuid){0};
	show_bit("xsaves", leaf.eax, 3);
	show_bit("xss_cet_u", leaf.ecx, 11);
	show_bit("xss_cet_s", leaf.ecx, 12);
	leaf = max >= 13 ? cpuid(13, 11) : (Cpuid){0};
	say("cet_u_size %u", (uint64_t)leaf.eax);
	leaf = max >= 13 ? cpuid(13, 12) : (Cpuid){0};
	say("cet_s_size %u", (uint64_t)leaf.eax);
	leaf = max >= 11 ? cpuid(11, 1) : (Cpuid){0};
	say("topology %u", (uint64_t)(leaf.ebx & 0xffff));
}
