// SPDX-License-Identifier: MIT
/*
 * Holds known values in all CET registers while it is looked at from outside, and
 * says what it holds: at first, and again for each byte of input. A 'q' ends it.
 */
#include "rt.h"

const char guest_name[] = "cet_state";

#define SERIAL UMBRA_TEST_SERIAL_PORT

/* Ring 0 keeps no shadow stack: SHSTK_EN stays clear in s_cet. */
static const struct {
	const char *name;
	uint32_t msr;
	uint64_t value;
} registers[] = {
	{"xss", 0xda0, 0x1800},
	{"u_cet", 0x6a0, 0x5},
	{"s_cet", 0x6a2, 0x14},
	{"pl0_ssp", 0x6a4, 0x8000000ff8},
	{"pl1_ssp", 0x6a5, 0x8000001ff0},
	{"pl2_ssp", 0x6a6, 0xffff800000002000},
	{"pl3_ssp", 0x6a7, 0x7fff00003ff8},
	{"int_ssp_tab", 0x6a8, 0xffff800000004001},
};
#define N_REGISTERS (sizeof(registers) / sizeof(registers[0]))

static void turn_on(void)
{
	uint64_t cr0, cr4;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" ::"r"(cr0 | CR0_WP));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_CET));
	for (unsigned i = 0; i < N_REGISTERS; i++)
		wrmsr(registers[i].msr, registers[i].value);
}

static void say_registers(void)
{
	for (unsigned i = 0; i < N_REGISTERS; i++)
		say("%s %x", registers[i].name, rdmsr(registers[i].msr));
}

static uint8_t next_byte(void)
{
	while (!(in8(SERIAL + 5) & 1))
		__asm__ volatile("pause");
	return in8(SERIAL);
}

void guest_main(const BootInfo *boot)
{
	Cpuid leaf = cpuid(7, 0);

	(void)boot;
	if (!(leaf.ecx >> 7 & 1) || !(leaf.edx >> 20 & 1)) {
		say("no CET in CPUID");
		return;
	}
	turn_on();
	out8(SERIAL + 4, 3); /* DTR and RTS: it wants input */
	say_registers();
	say("waiting");
	while (next_byte() != 'q') {
		say_registers();
		say("waiting");
	}
}
