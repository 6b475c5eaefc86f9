// SPDX-License-Identifier: MIT
/*
 * Work whose result shows whether anything was lost on the way. Command line: ROUNDS, and
 * how many MiB from 64 MiB on to fill with words that are not zero (0 if left out).
 *
 * Ring 3, at the CPU's own speed, in round r: word i of WORDS grows by r (i | 1), and an
 * SSE register by r for each word. So in the end, with T = ROUNDS (ROUNDS + 1) / 2, word i
 * is T (i | 1) and the register WORDS T, modulo 2^64; "sum" is the sum over all i of
 * word i times (2 i + 1).
 *
 * Says "begun" after the first round, and then nothing until the last. With 0 rounds it
 * sleeps from then on.
 */
#include "rt.h"

const char guest_name[] = "toil";

#define CR4_OSFXSR 0x200
#define WORDS	   (1UL << 18)
#define FILL_START (64UL << 20)
#define PAGE	   4096UL

static uint64_t words[WORDS];
static uint8_t user_stack[8192] __attribute__((aligned(16)));
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));
static volatile struct {
	uint64_t rounds, fill, done, sse, sum;
} state;

static void on_back(InterruptFrame *frame)
{
	if (!state.done) {
		say("begun");
		if (state.rounds == 0)
			halt_forever();
		frame->rip += 2; /* the ud2 */
		return;
	}
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
	uint64_t sse, sum = 0;

	for (uint64_t page = 0; page < state.fill << 20; page += PAGE)
		*(volatile uint64_t *)at(FILL_START + page) = page | 1;
	__asm__ volatile("pxor %xmm0, %xmm0");
	do_round(1);
	__asm__ volatile("ud2");
	for (uint64_t r = 2; r <= state.rounds; r++)
		do_round(r);
	__asm__ volatile("movq %%xmm0, %0" : "=r"(sse));
	for (uint64_t i = 0; i < WORDS; i++)
		sum += words[i] * (2 * i + 1);
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
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_OSFXSR));
	set_handler(6, on_back);
	set_ring0_stack(ring0_stack + sizeof(ring0_stack));
	/* None comes; but with them masked, the lab's CPU would never leave the guest for its host.
	 */
	__asm__ volatile("sti");
	enter_ring3(payload, user_stack + sizeof(user_stack));
}
