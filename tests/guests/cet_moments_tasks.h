/* SPDX-License-Identifier: MIT */
/* The guest cet_moments: what its ring 3 does, and what both rings know of each processor. */
#ifndef UMBRA_TESTS_CET_MOMENTS_TASKS_H
#define UMBRA_TESTS_CET_MOMENTS_TASKS_H

#include "cet_moments.h"
#include "rt.h"

#define MOMENTS_SEED 5

/* A task that does not run. */
typedef struct Parked {
	InterruptFrame frame;
	uint64_t u_cet; /* an ENDBR64 may be due: SDM 1, 17.3.6 */
	uint64_t ssp, sum;
} Parked;

typedef struct Processor {
	uint64_t gdt[8];
	uint32_t tss[26];
	Parked parked;
	bool idles; /* the task that runs is the one that only keeps the processor busy */
	uint64_t round, result, crimes, ticks, signals, switches;
	uint64_t home;		/* where the crime's function has to return to */
	uint64_t signal_result; /* of the last handler */
	InterruptFrame saved;	/* what the handler interrupted */
	bool in_signal;
} Processor;

extern Processor processors[MOMENTS_CPUS_MAX];

static inline unsigned number_at(const void *stack)
{
	return (unsigned)(((uint64_t)stack - MOMENTS_AREAS) / MOMENTS_AREA);
}

/* The processor on one of whose stacks the caller is. */
#define SELF() number_at(__builtin_frame_address(0))

/* Work of 2^(n/1.4) calls, half of them through pointers: each of those needs its ENDBR64. */
typedef uint64_t Mix(unsigned n, uint64_t seed);
Mix mix_left;

/* What a handler and the idle task come to, each time. */
uint64_t on_signal_work(void);
uint64_t idle_work(void);
extern uint64_t idle_right;

/* Where ring 3 begins, on stacks of a processor's area; on_signal returns to call_sigreturn. */
__attribute__((noreturn)) void payload(void);
__attribute__((noreturn)) void idle(void);
void on_signal(void);

/* Ring 3 calls by an instruction that is none; which one says what it wants. */
extern const char call_round[], call_sigreturn[], call_escaped[], call_complain[];

#endif
