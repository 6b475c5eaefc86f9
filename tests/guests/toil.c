// SPDX-License-Identifier: MIT
/*
 * Work whose result shows whether anything was lost on the way. Command line: ROUNDS, or -
 * for as many as there are until the letter q comes, and how many MiB from 64 MiB on to fill
 * with words that are not zero (0 if left out).
 *
 * Ring 3, at the CPU's own speed, in round r: word i of WORDS grows by r (i | 1), and an
 * SSE register by r for each word. So after R rounds, with T = R (R + 1) / 2, word i is
 * T (i | 1) and the register WORDS T, modulo 2^64; "sum" is the sum over all i of word i
 * times (2 i + 1).
 *
 * Says "begun" after the first round, and then nothing until the last. With 0 rounds it
 * sleeps from then on.
 */
#include "rt.h"

const char guest_name[] = "toil";

#define SERIAL	    UMBRA_TEST_SERIAL_PORT
#define CR4_OSFXSR  0x200
#define WORDS	    (1UL << 18)
#define FILL_START  (64UL << 20)
#define PAGE	    4096UL
#define UNTIL_ASKED UINT64_MAX

static uint64_t words[WORDS];
static uint8_t user_stack[8192] __attribute__((aligned(16)));
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));
static volatile struct {
	uint64_t rounds, fill, begun, asked, done, sse, sum;
	/* How many rounds it has been. */
	uint64_t last;
} state;

static void on_back(InterruptFrame *frame)
{
	frame->rip += 2; /* the ud2 */
	if (!state.begun) {
		state.begun = 1;
		say("begun");
		if (state.rounds == 0)
			halt_forever();
		return;
	}
	if (!state.done) {
		state.asked = in8(SERIAL + 5) & 1 && in8(SERIAL) == 'q';
		return;
	}
	say("rounds %u", state.last);
	say("sse %u", state.sse);
	say("sum %u", state.sum);
	say("done");
	power_off();
}

static void do_round(uint64_t r)
{
	__asm__ volatile("movq %0, %%xmm1" ::"r"(r));
	for (uint64_t i = 0; i < WORDS; i++) {
		words[i] += r * (i | 1);
		__asm__ volatile("paddq %xmm1, %xmm0");
	}
}

__attribute__((noreturn)) static void payload(void)
{
	uint64_t r, sse, sum = 0;

	for (uint64_t page = 0; page < state.fill << 20; page += PAGE)
		*(volatile uint64_t *)at(FILL_START + page) = page | 1;
	__asm__ volatile("pxor %xmm0, %xmm0");
	do_round(1);
	__asm__ volatile("ud2");
	for (r = 2; r <= state.rounds && !state.asked; r++) {
		do_round(r);
		if (state.rounds == UNTIL_ASKED)
			__asm__ volatile("ud2");
	}
	__asm__ volatile("movq %%xmm0, %0" : "=r"(sse));
	for (uint64_t i = 0; i < WORDS; i++)
		sum += words[i] * (2 * i + 1);
	state.last = r - 1;
	state.sse = sse;
	state.sum = sum;
	state.done = 1;
	__asm__ volatile("ud2");
	__builtin_unreachable();
}

static uint64_t take_number(const char **text)
{
	uint64_t value = 0;

	while (**text == ' ')
		++*text;
	if (**text == '-') {
		++*text;
		return UNTIL_ASKED;
	}
	for (; **text >= '0' && **text <= '9'; ++*text)
		value = 10 * value + (uint64_t)(**text - '0');
	return value;
}

void guest_main(const BootInfo *boot)
{
	const char *words_left = boot->cmdline;
	uint64_t cr4;

	state.rounds = take_number(&words_left);
	state.fill = take_number(&words_left);
	out8(SERIAL + 2, 7);	/* FIFOs on and empty */
	out8(SERIAL + 4, 0x03); /* DTR, RTS */
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_OSFXSR));
	set_handler(6, on_back);
	set_ring0_stack(ring0_stack + sizeof(ring0_stack));
	/* None comes; but with them masked, the lab's CPU would never leave the guest for its host.
	 */
	__asm__ volatile("sti");
	enter_ring3(payload, user_stack + sizeof(user_stack));
}
