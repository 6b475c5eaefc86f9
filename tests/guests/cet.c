// SPDX-License-Identifier: MIT
/*
 * CET in a guest of our own, ring 0 and ring 3: shadow stacks and IBT turned on
 * by hand, kept over calls, and enforced. Each crime ends in #CP with the error
 * code that the SDM gives it (volume 1, chapter 17; volume 3, 6.15).
 *
 * Nothing here returns once the shadow stack is on: each step is called by the
 * one before, or by the handler of the fault that the one before provoked.
 */
#include "rt.h"

const char guest_name[] = "cet";

#define MSR_U_CET    0x6a0
#define MSR_S_CET    0x6a2
#define MSR_PL0_SSP  0x6a4
#define MSR_PL3_SSP  0x6a7
#define SHSTK_EN     1UL
#define ENDBR_EN     4UL

#define VECTOR_CP    21
#define CP_NEAR_RET  1
#define CP_ENDBRANCH 3

/* Shadow stacks live in their own corner of the address space, for their own page attributes. */
#define SHADOW_BASE   (1UL << 39)
#define SHADOW_RING0  (SHADOW_BASE + 0x0000)
#define SHADOW_ENTRY  (SHADOW_BASE + 0x1000) /* ring 0 when it is entered from ring 3 */
#define SHADOW_RING3  (SHADOW_BASE + 0x2000)
#define SHADOW_PAGES  3
#define PAGE	      4096UL
#define PTE_USER_TREE 0x27UL /* present, writable, user, accessed: for tables */
#define PTE_SHADOW    0x61UL /* present, accessed, dirty and not writable */
#define PTE_USER      0x04UL

#define PAGE_ALIGNED  __attribute__((aligned(4096)))

extern uint64_t page_map[];
static uint64_t pointers[512] PAGE_ALIGNED, directory[512] PAGE_ALIGNED, table[512] PAGE_ALIGNED;
static uint64_t shadow[SHADOW_PAGES][512] PAGE_ALIGNED;
static uint8_t user_stack[4096] PAGE_ALIGNED, entry_stack[8192] PAGE_ALIGNED;

static uint64_t shadow_pointer(void)
{
	uint64_t ssp = 0;

	__asm__ volatile("rdsspq %0" : "+r"(ssp));
	return ssp;
}

/* A page's last word is a supervisor shadow stack token, free: its own address. */
static uint64_t put_token(unsigned page)
{
	uint64_t token = SHADOW_BASE + (page + 1) * PAGE - 8;

	shadow[page][511] = token;
	return token;
}

static void map_shadow_stacks(void)
{
	page_map[1] = (uint64_t)pointers | PTE_USER_TREE;
	pointers[0] = (uint64_t)directory | PTE_USER_TREE;
	directory[0] = (uint64_t)table | PTE_USER_TREE;
	for (unsigned i = 0; i < SHADOW_PAGES; i++)
		table[i] = (uint64_t)shadow[i] | PTE_SHADOW;
	table[2] |= PTE_USER;
}

/* The crime: `frame[1]` is where the caller wants it to return to. */
__attribute__((noinline)) static void return_elsewhere(void)
{
	void *volatile *frame = __builtin_frame_address(0);

	frame[1] = (char *)frame[1] + 1;
}

/* Calls itself n times: each call costs 8 bytes of shadow stack, each return gives them back. */
__attribute__((noinline)) static uint64_t nest(unsigned n)
{
	volatile uint64_t deepest = n ? nest(n - 1) : shadow_pointer();

	return deepest;
}

static uint64_t expected_error, expected_cs;
static void (*next_step)(void);

static void on_cp(InterruptFrame *frame)
{
	say("cp error %u cpl %u", frame->error, frame->cs & 3);
	if (frame->error != expected_error || frame->cs != expected_cs)
		wrong("expected #CP error %u from cs %x", expected_error, expected_cs);
	next_step();
}

static void expect(uint64_t error, uint64_t cs, void (*next)(void))
{
	expected_error = error;
	expected_cs = cs;
	next_step = next;
}

static void finish(void)
{
	uint64_t parked = rdmsr(MSR_PL3_SSP);

	/* Payload called return_elsewhere: one entry deep, as ring 0's entry parked it. */
	if (parked != SHADOW_RING3 + PAGE - 8)
		wrong("pl3_ssp is %x", parked);
	say("pl3_ssp ok");
	/* Entered on the second stack: its token is busy now. */
	if (*(volatile uint64_t *)(SHADOW_ENTRY + PAGE - 8) != (SHADOW_ENTRY + PAGE - 8) + 1)
		wrong("the token of the entry stack is not busy");
	say("token busy");
	say("done");
	power_off();
}

/* Ring 3. What goes wrong here is an exception, which ring 0 reports. */
__attribute__((noreturn)) static void payload(void)
{
	uint64_t begin = shadow_pointer();

	if (begin == SHADOW_RING3 + PAGE && nest(10) == begin - 11 * 8 && shadow_pointer() == begin)
		return_elsewhere();
	__asm__ volatile("ud2");
	__builtin_unreachable();
}

static void step_ring3(void)
{
	expect(CP_NEAR_RET, SELECTOR_USER_CODE, finish);
	wrmsr(MSR_PL0_SSP, put_token(1));
	wrmsr(MSR_PL3_SSP, SHADOW_RING3 + PAGE);
	wrmsr(MSR_U_CET, SHSTK_EN | ENDBR_EN);
	set_ring0_stack(entry_stack + sizeof(entry_stack));
	enter_ring3(payload, user_stack + sizeof(user_stack));
}

static void step_ring0_branch(void)
{
	uint64_t target;

	expect(CP_ENDBRANCH, SELECTOR_CODE, step_ring3);
	__asm__ volatile("lea 1f(%%rip), %0; jmp *%0; 1: nop" : "=r"(target)::"memory");
	wrong("an indirect jump to no ENDBR64 was let through");
}

static void step_ring0_return(void)
{
	expect(CP_NEAR_RET, SELECTOR_CODE, step_ring0_branch);
	return_elsewhere();
	wrong("an overwritten return was let through");
}

__attribute__((noreturn, noinline)) static void with_shadow_stack(void)
{
	uint64_t begin = shadow_pointer();

	say("ssp %x", begin);
	if (nest(20) != begin - 21 * 8 || shadow_pointer() != begin)
		wrong("ssp does not follow calls");
	say("calls ok");
	set_handler(VECTOR_CP, on_cp);
	step_ring0_return();
	__builtin_unreachable();
}

void guest_main(const BootInfo *boot)
{
	uint64_t cr0, cr4;
	Cpuid leaf = cpuid(7, 0);

	(void)boot;
	if (!(leaf.ecx >> 7 & 1) || !(leaf.edx >> 20 & 1)) {
		say("no CET in CPUID");
		return;
	}
	map_shadow_stacks();
	wrmsr(MSR_PL0_SSP, put_token(0));
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" ::"r"(cr0 | CR0_WP));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_CET));
	wrmsr(MSR_S_CET, SHSTK_EN | ENDBR_EN);
	__asm__ volatile("setssbsy");
	with_shadow_stack();
}
