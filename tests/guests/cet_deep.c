// SPDX-License-Identifier: MIT
/*
 * Works deep in calls under a shadow stack and IBT, so that it can be saved and
 * restored at any moment of it: ring 3 calls itself, directly and through pointers, and
 * ring 0 says what came out. At the end a return address is overwritten, which must be
 * found out as ever.
 *
 * With "endless" on the command line it goes on until there is a byte of input, and two rounds
 * more: it cannot be through before it is where it is asked.
 *
 * Ring 0 has IBT and no shadow stack, as in Linux. With one, a page of its stack that is
 * missing when it is entered makes a VM exit in the middle, with the shadow stack's token
 * busy already, and the second attempt then finds it so ("prematurely busy": SDM 1, 17.2.3
 * and CPUID 7.1 EDX[18]). After a load all pages are missing.
 */
#include "rt.h"

const char guest_name[] = "cet_deep";

#define ROUNDS	      24
#define ROUNDS_LEFT   2 /* when asked to end */
#define ENDLESS	      (~0UL)
#define DEPTH	      27

#define SERIAL	      UMBRA_TEST_SERIAL_PORT
#define MSR_U_CET     0x6a0
#define MSR_S_CET     0x6a2
#define MSR_PL3_SSP   0x6a7
#define SHSTK_EN      1UL
#define ENDBR_EN      4UL
#define VECTOR_UD     6
#define VECTOR_CP     21
#define CP_NEAR_RET   1

#define SHADOW_BASE   (1UL << 39)
#define PAGE	      4096UL
#define PTE_USER_TREE 0x27UL /* present, writable, user, accessed: for tables */
#define PTE_SHADOW    0x61UL /* present, accessed, dirty and not writable */
#define PTE_USER      0x04UL

#define PAGE_ALIGNED  __attribute__((aligned(4096)))

extern uint64_t page_map[];
static uint64_t pointers[512] PAGE_ALIGNED, directory[512] PAGE_ALIGNED, table[512] PAGE_ALIGNED;
static uint64_t shadow[512] PAGE_ALIGNED;
static uint8_t user_stack[32768] PAGE_ALIGNED, entry_stack[8192] PAGE_ALIGNED;
static volatile uint64_t round_number, result, rounds = ROUNDS;

static void map_shadow_stack(void)
{
	page_map[1] = (uint64_t)pointers | PTE_USER_TREE;
	pointers[0] = (uint64_t)directory | PTE_USER_TREE;
	directory[0] = (uint64_t)table | PTE_USER_TREE;
	table[0] = (uint64_t)shadow | PTE_SHADOW | PTE_USER;
}

typedef uint64_t Mix(unsigned n, uint64_t seed);
static Mix mix_left, mix_right;
/* Where the compiler cannot see: each call by it needs its ENDBR64. */
static Mix *volatile ways[2] = {mix_left, mix_right};

static uint64_t go_down(unsigned n, uint64_t seed)
{
	if (n < 2)
		return seed ^ n;
	return ways[seed & 1](n - 1, seed * 31 + 7) + ways[n & 1](n - 2, seed ^ n);
}

__attribute__((noinline)) static uint64_t mix_left(unsigned n, uint64_t seed)
{
	return go_down(n, seed) * 3;
}

__attribute__((noinline)) static uint64_t mix_right(unsigned n, uint64_t seed)
{
	return go_down(n, seed) ^ seed;
}

/* Calls itself n times before the work begins: the shadow stack is n deep meanwhile. */
__attribute__((noinline)) static uint64_t nest(unsigned n, uint64_t seed)
{
	volatile uint64_t below = n ? nest(n - 1, seed + 1) : mix_left(DEPTH, seed);

	return below + n;
}

/* The crime: the return address is moved by one byte. */
__attribute__((noinline)) static void return_elsewhere(void)
{
	void *volatile *frame = __builtin_frame_address(0);

	frame[1] = (char *)frame[1] + 1;
}

__attribute__((noreturn)) static void payload(void)
{
	while (round_number < rounds) {
		result = nest(100, round_number);
		round_number++;
		__asm__ volatile("ud2" ::: "memory");
	}
	return_elsewhere();
	__asm__ volatile("ud2");
	__builtin_unreachable();
}

/* Ring 3 calls by an instruction that is none. */
static void on_call(InterruptFrame *frame)
{
	uint64_t number = round_number;

	if (frame->cs != SELECTOR_USER_CODE)
		wrong("exception 6 in ring 0 at %x", frame->rip);
	say("round %u result %x", number, result);
	if (rounds == ENDLESS && in8(SERIAL + 5) & 1)
		rounds = number + ROUNDS_LEFT;
	frame->rip += 2;
}

static void on_cp(InterruptFrame *frame)
{
	say("cp error %u cpl %u after %u rounds", frame->error, frame->cs & 3, round_number);
	if (frame->error != CP_NEAR_RET || round_number != rounds)
		wrong("this was no crime, at %x", frame->rip);
	say("done");
	power_off();
}

void guest_main(const BootInfo *boot)
{
	uint64_t cr0, cr4;
	Cpuid leaf = cpuid(7, 0);

	if (!(leaf.ecx >> 7 & 1) || !(leaf.edx >> 20 & 1)) {
		say("no CET in CPUID");
		return;
	}
	if (memcmp(boot->cmdline, "endless", sizeof("endless") - 1) == 0)
		rounds = ENDLESS;
	out8(SERIAL + 4, 3); /* DTR and RTS: it wants input */
	map_shadow_stack();
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" ::"r"(cr0 | CR0_WP));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_CET));
	wrmsr(MSR_S_CET, ENDBR_EN);
	wrmsr(MSR_PL3_SSP, SHADOW_BASE + PAGE);
	wrmsr(MSR_U_CET, SHSTK_EN | ENDBR_EN);
	set_handler(VECTOR_CP, on_cp);
	set_handler(VECTOR_UD, on_call);
	set_ring0_stack(entry_stack + sizeof(entry_stack));
	enter_ring3(payload, user_stack + sizeof(user_stack));
}
