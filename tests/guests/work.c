// SPDX-License-Identifier: MIT
/*
 * Works for a while, so that it can be saved and restored at any moment of it: ring 3
 * stirs memory, with a part of the result in an SSE register all the time; then ring 0
 * says how far it is, and sleeps until its LAPIC's timer wakes it. What comes out is
 * known beforehand: see tests/kvm/test_save_load.py.
 */
#include "rt.h"

const char guest_name[] = "work";

#define STRING	     "work: a string of accesses to one port, byte after byte\n"
#define ROUNDS	     40
#define WORDS	     (1UL << 19)
#define MEMORY	     ((uint64_t *)(16UL << 20))
#define CR4_OSFXSR   0x200

#define LAPIC	     0xfee00000UL
#define LAPIC_EOI    0xb0
#define LAPIC_SVR    0xf0
#define LAPIC_TIMER  0x320
#define LAPIC_COUNT  0x380
#define LAPIC_DIVIDE 0x3e0
#define TIMER_VECTOR 40
#define TIMER_TICKS  500000 /* of one nanosecond each: KVM's bus has 1 GHz */

static uint8_t user_stack[8192] __attribute__((aligned(16)));
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));
static volatile uint64_t round_number, sum, chain;
static volatile unsigned naps;
static volatile int woken;

static volatile uint32_t *lapic(unsigned offset)
{
	return at(LAPIC + offset);
}

static void on_timer(InterruptFrame *frame)
{
	(void)frame;
	woken = 1;
	*lapic(LAPIC_EOI) = 0;
}

/*
 * Naps are counted, not interrupts: KVM_SET_LAPIC makes a one-shot timer that has fired fire
 * once more, and on a busy host one nap takes both.
 */
static void nap(void)
{
	woken = 0;
	*lapic(LAPIC_COUNT) = TIMER_TICKS;
	while (!woken)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	naps++;
}

/* One instruction, and an access for each byte: it can be saved between any two of them. */
static void put_string(const char *text, size_t length)
{
	__asm__ volatile("rep outsb"
			 : "+S"(text), "+c"(length)
			 : "d"((uint16_t)UMBRA_TEST_SERIAL_PORT)
			 : "memory");
}

/* Ring 3 calls by an instruction that is none. */
static void on_call(InterruptFrame *frame)
{
	say("round %u sum %x chain %x", round_number, sum, chain);
	put_string(STRING, sizeof(STRING) - 1);
	if (round_number == ROUNDS) {
		say("naps %u", (uint64_t)naps);
		say("done");
		power_off();
	}
	nap();
	frame->rip += 2;
}

/* Nothing here but the chain itself touches SSE, so it stays in xmm1 from end to end. */
static void stir(void)
{
	uint64_t total = 0;

	for (uint64_t i = 0; i < WORDS; i++) {
		uint64_t v = MEMORY[i] * 6364136223846793005UL + 1442695040888963407UL + i;

		v ^= v >> 29;
		MEMORY[i] = v;
		total += v;
		__asm__ volatile("movq %0, %%xmm0; pmuludq %%xmm2, %%xmm1; paddq %%xmm0, %%xmm1"
				 :
				 : "r"(v));
	}
	sum = total;
	__asm__ volatile("movq %%xmm1, %0" : "=r"(total));
	chain = total;
}

__attribute__((noreturn)) static void payload(void)
{
	uint64_t factor = 0x9e3779b1;

	__asm__ volatile("pxor %%xmm1, %%xmm1; movq %0, %%xmm2" ::"r"(factor));
	for (;;) {
		stir();
		round_number++;
		__asm__ volatile("ud2" ::: "memory");
	}
}

void guest_main(const BootInfo *boot)
{
	uint64_t cr4;

	(void)boot;
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_OSFXSR));
	*lapic(LAPIC_SVR) = 0x1ff;
	*lapic(LAPIC_DIVIDE) = 0xb;
	*lapic(LAPIC_TIMER) = TIMER_VECTOR;
	set_handler(TIMER_VECTOR, on_timer);
	set_handler(6, on_call);
	set_ring0_stack(ring0_stack + sizeof(ring0_stack));
	enter_ring3(payload, user_stack + sizeof(user_stack));
}
