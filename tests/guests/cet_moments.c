// SPDX-License-Identifier: MIT
/*
 * Does by turns all that a guest with CET may be doing when it is saved, on two processors or
 * more: ring 3 deep in calls on its shadow stack, with IBT; ring 3 in a handler that the
 * timer's interrupt put on top of that, as a kernel delivers a signal (a token and the
 * address of the way back, pushed on the shadow stack); ring 0 at work in the interrupt,
 * the next one pending; ring 0 on its way from one of the processor's two tasks to the other,
 * each with its shadow stack; ring 0 saying what came out; asleep. In each round ring 3
 * overwrites a return address, which has to be found out and is then put right; the last time
 * it is not.
 *
 * The command line has rounds=N; with 0 it goes on until there is a byte of input, and two rounds
 * more: it cannot be through before it is where it is asked. What is said is known
 * beforehand: tests/save_load/expect.c.
 * Ring 0 has no shadow stack of its own, for the reason that cet_deep.c tells.
 */
#include "cet_moments_tasks.h"
#include "cpus_start.h"

const char guest_name[] = "cet_moments";

#define TICK_DEPTH    18
#define SUMS	      48 /* of a shadow stack, at each switch: it shall not be over at once */

#define LAPIC	      0xfee00000UL
#define LAPIC_EOI     0xb0
#define LAPIC_SVR     0xf0
#define LAPIC_TIMER   0x320
#define LAPIC_COUNT   0x380
#define LAPIC_DIVIDE  0x3e0
#define TICK	      600000 /* ns: KVM's bus has 1 GHz */
#define TICK_DURING   25000  /* shorter than what a tick does */
#define NAP	      700000

#define SERIAL	      UMBRA_TEST_SERIAL_PORT
#define ROUNDS_LEFT   2 /* when asked to end */
#define PORT_NOBODY   0x80
#define TICK_EXITS    40
#define SWITCH_EXITS  120

#define MSR_U_CET     0x6a0
#define MSR_S_CET     0x6a2
#define MSR_PL3_SSP   0x6a7
#define SHSTK_EN      1UL
#define ENDBR_EN      4UL
#define VECTOR_UD     6
#define VECTOR_CP     21
#define CP_NEAR_RET   1
#define RFLAGS_FIXED  0x2UL
#define RFLAGS_IF     0x200UL

#define SHADOW_BASE   (1UL << 39)
#define PAGE	      4096UL
#define SHADOWS	      (2 * MOMENTS_CPUS_MAX) /* processor n: 2n, and 2n + 1 for the idle task */
#define PTE_USER_TREE 0x27UL		     /* present, writable, user, accessed: for tables */
#define PTE_SHADOW    0x65UL		     /* present, user, accessed, dirty and not writable */
#define TOKEN	      (1UL << 63)

#define PAGE_ALIGNED  __attribute__((aligned(4096)))

extern uint64_t page_map[], gdt[];
static uint64_t pointers[512] PAGE_ALIGNED, directory[512] PAGE_ALIGNED, table[512] PAGE_ALIGNED;
static uint64_t shadow[SHADOWS][512] PAGE_ALIGNED;
Processor processors[MOMENTS_CPUS_MAX];
static uint64_t signal_right, tick_right;
static volatile uint64_t rounds; /* 0: nobody has asked yet */
static uint8_t idt_pointer[10];
static volatile unsigned finished;
static volatile char lock;

static void take_lock(void)
{
	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
}

static void drop_lock(void)
{
	__atomic_clear(&lock, __ATOMIC_RELEASE);
}

static volatile uint32_t *lapic(unsigned offset)
{
	return at(LAPIC + offset);
}

/*
 * Stays for a while, and with exits: interrupts are masked where this is called, and the lab's
 * emulator leaves such a guest nowhere else (docs/lab.md).
 */
static void linger(unsigned exits)
{
	while (exits--)
		out8(PORT_NOBODY, 0);
}

static void sleep_ticks(uint32_t ns)
{
	*lapic(LAPIC_COUNT) = ns;
}

/* Where a shadow stack begins, which is at its end. Between them are pages of nothing. */
static uint64_t shadow_top(unsigned n)
{
	return SHADOW_BASE + (2 * n + 1) * PAGE;
}

static void *area_top(unsigned number, uint64_t which)
{
	return at(MOMENTS_AREAS + number * MOMENTS_AREA + which + MOMENTS_STACK);
}

static void write_shadow(uint64_t address, uint64_t value)
{
	__asm__ volatile("wrussq %1, (%0)" ::"r"(address), "r"(value) : "memory");
}

/* As Linux does it: where SSP was, and below it the way back. */
static void deliver(Processor *self, unsigned number, InterruptFrame *frame)
{
	uint64_t ssp = rdmsr(MSR_PL3_SSP);
	uint64_t *top = (uint64_t *)area_top(number, MOMENTS_SIGNAL_STACK) - 1;

	self->saved = *frame;
	self->in_signal = true;
	write_shadow(ssp - 8, ssp | TOKEN);
	write_shadow(ssp - 16, (uint64_t)call_sigreturn);
	wrmsr(MSR_PL3_SSP, ssp - 16);
	*top = (uint64_t)call_sigreturn;
	frame->rsp = (uint64_t)top;
	frame->rip = (uint64_t)on_signal;
}

static void sigreturn(Processor *self, InterruptFrame *frame)
{
	uint64_t ssp = rdmsr(MSR_PL3_SSP);
	uint64_t token = *(volatile uint64_t *)ssp;

	if (!self->in_signal || token != ((ssp + 8) | TOKEN))
		wrong("ssp %x with %x is not where a handler returns", ssp, token);
	if (self->signal_result != signal_right)
		wrong("a handler came to %x instead of %x", self->signal_result, signal_right);
	wrmsr(MSR_PL3_SSP, ssp + 8);
	self->in_signal = false;
	self->signals++;
	*frame = self->saved;
}

/* Of all that a shadow stack holds. */
static uint64_t sum_up(uint64_t ssp)
{
	uint64_t sum = 0, end = (ssp + PAGE - 1) & -PAGE;

	for (uint64_t entry = ssp; entry < end; entry += 8)
		sum = sum * 31 + *(volatile uint64_t *)entry;
	return sum;
}

static void switch_tasks(Processor *self, unsigned number, InterruptFrame *frame)
{
	volatile uint64_t *switching =
		at(MOMENTS_AREAS + number * MOMENTS_AREA + MOMENTS_SWITCHING);
	Parked other = self->parked;

	*switching = 1;
	self->parked =
		(Parked){.frame = *frame, .u_cet = rdmsr(MSR_U_CET), .ssp = rdmsr(MSR_PL3_SSP)};
	self->parked.sum = sum_up(self->parked.ssp);
	wrmsr(MSR_PL3_SSP, other.ssp);
	wrmsr(MSR_U_CET, other.u_cet);
	linger(SWITCH_EXITS); /* half of each is there now */
	if (sum_up(other.ssp) != other.sum)
		wrong("the shadow stack at %x is not what it was", other.ssp);
	*frame = other.frame;
	self->idles = !self->idles;
	self->switches++;
	*switching = 0;
}

/* Every second time the next one comes while this one is at work, and has to wait. */
static void on_tick(InterruptFrame *frame)
{
	unsigned number = SELF();
	Processor *self = &processors[number];
	bool next_waits = ++self->ticks % 2;

	if (next_waits)
		sleep_ticks(TICK_DURING);
	linger(TICK_EXITS);
	if (mix_left(TICK_DEPTH, MOMENTS_SEED) != tick_right)
		wrong("a tick's work came out wrong");
	*lapic(LAPIC_EOI) = 0;
	if (!next_waits)
		sleep_ticks(TICK);
	if (!(frame->cs & 3))
		return;
	if (self->ticks % 4 == 0)
		switch_tasks(self, number, frame);
	else if (next_waits && !self->in_signal && !self->idles)
		deliver(self, number, frame);
}

static void nap(Processor *self)
{
	uint64_t before = self->ticks;

	sleep_ticks(NAP);
	while (*(volatile uint64_t *)&self->ticks == before)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* All end with the same round, one that none has begun. Under the lock, as is their counting. */
static void hear_whether_to_end(void)
{
	uint64_t last = 0;

	if (rounds || !(in8(SERIAL + 5) & 1))
		return;
	for (unsigned i = 0; i < MOMENTS_CPUS_MAX; i++)
		if (processors[i].round > last)
			last = processors[i].round;
	rounds = last + ROUNDS_LEFT;
}

static void end_round(Processor *self, unsigned number, InterruptFrame *frame)
{
	take_lock();
	if (self->round)
		say("cpu %u round %u result %x crimes %u", (uint64_t)number, self->round,
		    self->result, self->crimes);
	hear_whether_to_end();
	drop_lock();
	if (self->round)
		nap(self);
	take_lock();
	self->round++;
	drop_lock();
	frame->rip += 2;
	frame->rflags |= RFLAGS_IF;
}

static void on_call(InterruptFrame *frame)
{
	unsigned number = SELF();
	Processor *self = &processors[number];

	if (frame->cs != SELECTOR_USER_CODE)
		wrong("exception 6 in ring 0 at %x", frame->rip);
	if (frame->rip == (uint64_t)call_sigreturn)
		sigreturn(self, frame);
	else if (frame->rip == (uint64_t)call_round)
		end_round(self, number, frame);
	else if (frame->rip == (uint64_t)call_complain)
		wrong("the idle task came to something else");
	else
		wrong("an overwritten return led to %x", frame->rip);
}

static void end(Processor *self, unsigned number, InterruptFrame *frame)
{
	take_lock();
	say("cpu %u cp error %u cpl %u after %u rounds, signals %s, switches %s", (uint64_t)number,
	    frame->error, frame->cs & 3, self->round, self->signals ? "some" : "none",
	    self->switches ? "some" : "none");
	finished++;
	drop_lock();
	if (number)
		halt_forever();
	while (finished <= ap_count)
		__asm__ volatile("pause");
	say("done");
	power_off();
}

static void on_cp(InterruptFrame *frame)
{
	unsigned number = SELF();
	Processor *self = &processors[number];

	if (frame->error != CP_NEAR_RET || self->crimes >= self->round ||
	    *(uint64_t *)frame->rsp != (uint64_t)call_escaped)
		wrong("cpu %u: this was no crime, at %x", (uint64_t)number, frame->rip);
	self->crimes++;
	if (self->round == rounds)
		end(self, number, frame);
	/* RET will look again. */
	*(uint64_t *)frame->rsp = self->home;
}

/* Descriptors and a TSS of its own: each has another stack for what comes from ring 3. */
static void own_descriptors(Processor *self, unsigned number)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		void *base;
	} pointer = {sizeof(self->gdt) - 1, self->gdt};
	uint64_t base = (uint64_t)self->tss;
	uint64_t stack = (uint64_t)area_top(number, MOMENTS_ENTRY_STACK);

	memcpy(self->gdt, gdt, sizeof(self->gdt));
	self->gdt[SELECTOR_TSS / 8] = (sizeof(self->tss) - 1) | (base & 0xffffff) << 16 |
				      0x89UL << 40 | (base >> 24 & 0xff) << 56;
	self->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
	self->tss[1] = (uint32_t)stack;
	self->tss[25] = sizeof(self->tss) << 16;
	__asm__ volatile("lgdt %0" ::"m"(pointer));
	__asm__ volatile("lidt %0" ::"m"(idt_pointer));
	__asm__ volatile("ltr %w0" ::"r"(SELECTOR_TSS));
}

static void prepare_idle(Processor *self, unsigned number)
{
	self->parked.ssp = shadow_top(2 * number + 1);
	self->parked.u_cet = SHSTK_EN | ENDBR_EN;
	self->parked.frame = (InterruptFrame){
		.rip = (uint64_t)idle,
		.cs = SELECTOR_USER_CODE,
		.ss = SELECTOR_USER_DATA,
		.rflags = RFLAGS_FIXED | RFLAGS_IF,
		.rsp = (uint64_t)area_top(number, MOMENTS_IDLE_STACK) - 8,
	};
}

/* On a stack of this processor's area. */
__attribute__((noreturn)) static void work(void)
{
	unsigned number = SELF();
	uint64_t cr0, cr4;

	own_descriptors(&processors[number], number);
	prepare_idle(&processors[number], number);
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %0, %%cr0" ::"r"(cr0 | CR0_WP));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_CET));
	wrmsr(MSR_S_CET, ENDBR_EN);
	wrmsr(MSR_PL3_SSP, shadow_top(2 * number));
	wrmsr(MSR_U_CET, SHSTK_EN | ENDBR_EN);
	*lapic(LAPIC_SVR) = 0x1ff;
	*lapic(LAPIC_DIVIDE) = 0xb;
	*lapic(LAPIC_TIMER) = MOMENTS_VECTOR;
	enter_ring3(payload, area_top(number, MOMENTS_USER_STACK));
}

/* Their numbers are their places in the MADT, as umbra's are. */
static void start_others(const BootInfo *boot)
{
	static uint8_t ids[CPUS_IDS];
	unsigned n = cpus_find(boot, ids);

	if (n > MOMENTS_CPUS_MAX || ids[0] != cpus_own_id())
		wrong("%u processors, and this is %u", (uint64_t)n, (uint64_t)cpus_own_id());
	cpus_prepare();
	for (unsigned i = 1; i < n; i++) {
		cpus_start(ids[i], work, area_top(i, MOMENTS_ENTRY_STACK));
		cpus_await(i);
	}
	if (ap_count != n - 1)
		wrong("%u of %u processors started", (uint64_t)ap_count + 1, (uint64_t)n);
}

static void map_shadow_stacks(void)
{
	page_map[1] = (uint64_t)pointers | PTE_USER_TREE;
	pointers[0] = (uint64_t)directory | PTE_USER_TREE;
	directory[0] = (uint64_t)table | PTE_USER_TREE;
	for (unsigned i = 0; i < SHADOWS; i++)
		table[2 * i] = (uint64_t)shadow[i] | PTE_SHADOW;
}

static uint64_t read_rounds(const char *cmdline)
{
	uint64_t n = 0;

	while (*cmdline && (*cmdline < '0' || *cmdline > '9'))
		cmdline++;
	while (*cmdline >= '0' && *cmdline <= '9')
		n = n * 10 + (uint64_t)(*cmdline++ - '0');
	return n;
}

void guest_main(const BootInfo *boot)
{
	Cpuid leaf = cpuid(7, 0);

	if (!(leaf.ecx >> 7 & 1) || !(leaf.edx >> 20 & 1)) {
		say("no CET in CPUID");
		return;
	}
	rounds = read_rounds(boot->cmdline);
	out8(SERIAL + 4, 3); /* DTR and RTS: it wants input */
	signal_right = on_signal_work();
	tick_right = mix_left(TICK_DEPTH, MOMENTS_SEED);
	idle_right = idle_work();
	map_shadow_stacks();
	set_handler(VECTOR_CP, on_cp);
	set_handler(VECTOR_UD, on_call);
	set_handler(MOMENTS_VECTOR, on_tick);
	__asm__ volatile("sidt %0" : "=m"(idt_pointer));
	start_others(boot);
	/* Off this stack, which is nobody's. */
	__asm__ volatile(
		"mov %0, %%rsp; jmp *%1" ::"r"((uint64_t)area_top(0, MOMENTS_ENTRY_STACK) - 8),
		"r"(work));
}
