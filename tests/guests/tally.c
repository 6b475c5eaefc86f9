// SPDX-License-Identifier: MIT
/*
 * Counts, and shows its work: whoever reads along sees that it goes on, that nothing was
 * lost, and that no second one counts elsewhere. Command line: how many MiB from 16 MiB
 * on hold words that never change (0 if left out), and how many KiB are written all
 * the time (1024 if left out), and after how many million TSC ticks in which it did not
 * run it ends without a word (0 or left out: never).
 *
 * Ring 3, in round r: word i of those that are written grows by r (i | 1), and an SSE
 * register by r. After every BEAT rounds ring 0 says
 *
 *   r R sse X sum S bad B
 *
 * where, with T = R (R + 1) / 2, X is T, S is the sum over all i of word i times
 * (2 i + 1), that is, of T (i | 1) (2 i + 1), both modulo 2^64, and B how many of the
 * words that never change did. The letter q ends it.
 */
#include "rt.h"

const char guest_name[] = "tally";

#define SERIAL	   UMBRA_TEST_SERIAL_PORT
#define CR4_OSFXSR 0x200
#define BEAT	   64
#define FILL_START (16UL << 20)
#define PAGE	   4096UL

static uint8_t user_stack[8192] __attribute__((aligned(16)));
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));
static volatile struct {
	uint64_t fill, words, gap;
	uint64_t round, sse, sum, bad;
	bool missed;
} state;

static uint64_t ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static void on_back(InterruptFrame *frame)
{
	if (state.missed)
		power_off();
	say("r %u sse %u sum %u bad %u", state.round, state.sse, state.sum, state.bad);
	if (in8(SERIAL + 5) & 1 && in8(SERIAL) == 'q') {
		say("done");
		power_off();
	}
	frame->rip += 2; /* the ud2 */
}

static void show(volatile uint64_t *words, uint64_t n, uint64_t fill)
{
	uint64_t sse, sum = 0, bad = 0;

	__asm__ volatile("movq %%xmm0, %0" : "=r"(sse));
	for (uint64_t i = 0; i < n; i++)
		sum += words[i] * (2 * i + 1);
	for (uint64_t page = 0; page < fill; page += PAGE)
		bad += *(volatile uint64_t *)at(FILL_START + page) != (page | 1);
	state.sse = sse;
	state.sum = sum;
	state.bad = bad;
	__asm__ volatile("ud2");
}

__attribute__((noreturn)) static void payload(void)
{
	uint64_t fill = state.fill << 20, n = state.words;
	volatile uint64_t *words = at(FILL_START + fill);

	for (uint64_t page = 0; page < fill; page += PAGE)
		*(volatile uint64_t *)at(FILL_START + page) = page | 1;
	__asm__ volatile("pxor %xmm0, %xmm0");
	uint64_t before = ticks();

	for (uint64_t r = 1;; r++) {
		for (uint64_t i = 0; i < n; i++)
			words[i] += r * (i | 1);
		__asm__ volatile("movq %0, %%xmm1; paddq %%xmm1, %%xmm0" ::"r"(r));
		state.round = r;
		uint64_t now = ticks();

		if (state.gap && now - before > state.gap) {
			state.missed = true;
			__asm__ volatile("ud2");
		}
		before = now;
		if (r % BEAT == 0)
			show(words, n, fill);
	}
}

static uint64_t take_number(const char **text, uint64_t otherwise)
{
	uint64_t value = 0;

	while (**text == ' ')
		++*text;
	if (**text < '0' || **text > '9')
		return otherwise;
	for (; **text >= '0' && **text <= '9'; ++*text)
		value = 10 * value + (uint64_t)(**text - '0');
	return value;
}

void guest_main(const BootInfo *boot)
{
	const char *text = boot->cmdline;
	uint64_t cr4;

	state.fill = take_number(&text, 0);
	state.words = take_number(&text, 1024) * 1024 / sizeof(uint64_t);
	state.gap = take_number(&text, 0) * 1000000;
	out8(SERIAL + 2, 7);	/* FIFOs on and empty */
	out8(SERIAL + 4, 0x03); /* DTR, RTS */
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_OSFXSR));
	set_handler(6, on_back);
	set_ring0_stack(ring0_stack + sizeof(ring0_stack));
	enter_ring3(payload, user_stack + sizeof(user_stack));
}
