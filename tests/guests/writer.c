// SPDX-License-Identifier: MIT
/*
 * Writes the pages it is told to. A command is two characters, the second a digit k:
 *
 *   uk  from ring 3, sk from ring 0: 64 pages from page FIRST + 512 k, k + 3 apart
 *   hk  from ring 0: one page, 1000 k + 5 pages above 4 GiB
 *   rk  from ring 3: 1024 pages from FIRST, over and over, 10^k times
 *   q   the end
 *
 * Each is answered by "wrote". In every page the first word is counted up.
 */
#include "rt.h"

const char guest_name[] = "writer";

#define SERIAL UMBRA_TEST_SERIAL_PORT
#define PAGE   4096UL
#define FIRST  8192UL /* 32 MiB */

static uint8_t user_stack[4096] __attribute__((aligned(16)));
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));

/* What ring 3 is to write. */
static volatile struct {
	uint64_t first, step, count, times;
} job;

static void write_pages(void)
{
	for (uint64_t n = 0; n < job.times; n++)
		for (uint64_t i = 0; i < job.count; i++)
			++*(volatile uint64_t *)at((job.first + i * job.step) * PAGE);
}

static char next_char(void)
{
	while (!(in8(SERIAL + 5) & 1))
		__asm__ volatile("pause");
	return (char)in8(SERIAL);
}

/* Returns whether ring 3 has something to do. */
static bool obey(char what, uint64_t k)
{
	job.first = FIRST + 512 * k;
	job.step = k + 3;
	job.count = 64;
	job.times = 1;
	switch (what) {
	case 'h':
		++*view_page((1UL << 32) + (1000 * k + 5) * PAGE);
		break;
	case 's':
		write_pages();
		break;
	case 'r':
		job.first = FIRST;
		job.step = 1;
		job.count = 1024;
		for (; k; k--)
			job.times *= 10;
		return true;
	case 'u':
		return true;
	default:
		wrong("command %c", what);
	}
	return false;
}

/* Ring 3 has done its job: the next one that is for it, or the end. */
static void on_back(InterruptFrame *frame)
{
	for (;;) {
		say("wrote");
		char what = next_char();

		if (what == 'q') {
			say("done");
			power_off();
		}
		if (obey(what, (uint64_t)(next_char() - '0'))) {
			frame->rip += 2; /* the ud2 */
			return;
		}
	}
}

__attribute__((noreturn)) static void ring3_main(void)
{
	for (;;) {
		__asm__ volatile("ud2");
		write_pages();
	}
}

void guest_main(const BootInfo *boot)
{
	(void)boot;
	out8(SERIAL + 2, 7);	/* FIFOs on and empty */
	out8(SERIAL + 4, 0x03); /* DTR, RTS */
	set_handler(6, on_back);
	set_ring0_stack(ring0_stack + sizeof(ring0_stack));
	enter_ring3(ring3_main, user_stack + sizeof(user_stack));
}
