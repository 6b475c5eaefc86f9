// SPDX-License-Identifier: MIT
#include "cet_moments_tasks.h"

#define DEPTH	     24 /* of the work in each round */
#define NEST	     100
#define SIGNAL_DEPTH 21
#define IDLE_NEST    60
#define IDLE_DEPTH   20

uint64_t idle_right;

static Mix mix_right;
/* Where the compiler cannot see: each call by it needs its ENDBR64. */
static Mix *volatile ways[2] = {mix_left, mix_right};

static uint64_t go_down(unsigned n, uint64_t seed)
{
	if (n < 2)
		return seed ^ n;
	return ways[seed & 1](n - 1, seed * 31 + 7) + ways[n & 1](n - 2, seed ^ n);
}

__attribute__((noinline)) uint64_t mix_left(unsigned n, uint64_t seed)
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

__asm__(".text\n"
	".globl call_round, call_sigreturn, call_escaped, call_complain\n"
	"do_round: endbr64\n"
	"call_round: ud2\n"
	"	ret\n"
	"call_sigreturn: ud2\n"
	"call_escaped: ud2\n"
	"complain: endbr64\n"
	"call_complain: ud2\n");
void do_round(void);
void complain(void);

/* The crime. */
__attribute__((noinline)) static void return_elsewhere(Processor *self)
{
	const void *volatile *frame = __builtin_frame_address(0);

	self->home = (uint64_t)frame[1];
	frame[1] = call_escaped;
}

void payload(void)
{
	unsigned number = SELF();
	Processor *self = &processors[number];

	for (;;) {
		do_round();
		self->result = nest(NEST, self->round * MOMENTS_CPUS_MAX + number);
		return_elsewhere(self);
	}
}

/* The other task is also deep in calls when it has to go. */
__attribute__((noinline)) static uint64_t idle_nest(unsigned n)
{
	volatile uint64_t below = n ? idle_nest(n - 1) : mix_right(IDLE_DEPTH, MOMENTS_SEED);

	return below ^ n;
}

uint64_t idle_work(void)
{
	return idle_nest(IDLE_NEST);
}

void idle(void)
{
	for (;;)
		if (idle_work() != idle_right)
			complain();
}

uint64_t on_signal_work(void)
{
	return mix_left(SIGNAL_DEPTH, MOMENTS_SEED);
}

void on_signal(void)
{
	processors[SELF()].signal_result = on_signal_work();
}
