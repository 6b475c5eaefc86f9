// SPDX-License-Identifier: MIT
/*
 * Ring 3 and back: a payload that runs at the CPU's own speed even where ring 0
 * is emulated, uses SSE, and comes back by an exception. Ring 0 prints: not every
 * host lets ring 3 at ports, whatever IOPL says.
 */
#include "rt.h"

const char guest_name[] = "ring3";

#define CR4_OSFXSR 0x200
#define ROUNDS	   10000000UL

static uint8_t user_stack[8192] __attribute__((aligned(16)));
static uint8_t ring0_stack[8192] __attribute__((aligned(16)));

/* What the payload leaves for ring 0. */
static volatile struct {
	uint64_t selector, sum, square;
} result;

static void on_back(InterruptFrame *frame)
{
	if (frame->cs != SELECTOR_USER_CODE || frame->ss != SELECTOR_USER_DATA)
		wrong("came back from cs %x ss %x", frame->cs, frame->ss);
	say("cpl %u", result.selector & 3);
	say("sum %u", result.sum);
	say("square %u", result.square);
	say("back by vector %u", frame->vector);
	say("done");
	power_off();
}

__attribute__((noreturn)) static void payload(void)
{
	uint64_t selector, sum = 0, square = 7;

	__asm__ volatile("mov %%cs, %0" : "=r"(selector));
	for (uint64_t i = 0; i < ROUNDS; i++)
		__asm__("add %1, %0" : "+r"(sum) : "r"(i));
	__asm__ volatile("movq %0, %%xmm0; pmuludq %%xmm0, %%xmm0; movq %%xmm0, %0" : "+r"(square));
	result.selector = selector;
	result.sum = sum;
	result.square = square;
	__asm__ volatile("ud2");
	__builtin_unreachable();
}

void guest_main(const BootInfo *boot)
{
	uint64_t cr4;

	(void)boot;
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_OSFXSR));
	set_handler(6, on_back);
	set_ring0_stack(ring0_stack + sizeof(ring0_stack));
	enter_ring3(payload, user_stack + sizeof(user_stack));
}
