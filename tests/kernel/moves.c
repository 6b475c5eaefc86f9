// SPDX-License-Identifier: MIT
/*
 * cet_moves [ROUNDS]: several virtual machines at once, on more vCPUs than there are
 * CPUs, each with CET registers of its own. A guest writes the seven MSRs, spends its
 * time slice and more, and reads them; so does its host from outside, moving the vCPU
 * to another CPU each time. What one finds is what it left there, or something
 * was switched wrongly. Runs for ever without ROUNDS; says so every 50 rounds.
 */
#include "box.h"

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	MACHINES = 5,
	REPORT = 50,
	N_MSRS = 7,
};

extern const uint8_t code_hold[], code_hold_end[]; /* code.S */

/* The order of code_hold. */
static const uint32_t msrs[N_MSRS] = {0x6a4, 0x6a5, 0x6a6, 0x6a7, 0x6a8, 0x6a0, 0x6a2};

typedef struct Machine {
	unsigned number;
	unsigned rounds;
	pthread_t thread;
	Box box;
} Machine;

/* What register `i` holds in a round: no two machines, rounds or registers have the same. */
static uint64_t value_of(const Machine *machine, unsigned round, unsigned i)
{
	uint64_t address = 0xffff800000000000 + ((uint64_t)machine->number << 40) +
			   ((uint64_t)round << 20) + 0x4000 * i;

	return i < 5 ? address : address | 0x10; /* control registers: CET stays off */
}

static void wrong(const Machine *machine, unsigned round, const char *who, unsigned i,
		  uint64_t found)
{
	printf("moves: WRONG: machine %u, round %u: the %s finds %#llx in %#x, it left %#llx\n",
	       machine->number, round, who, (unsigned long long)found, msrs[i],
	       (unsigned long long)value_of(machine, round, i));
	exit(1);
}

static void move(unsigned turn)
{
	cpu_set_t all, one;
	unsigned n = 0;

	if (sched_getaffinity(getpid(), sizeof(all), &all))
		err(2, "sched_getaffinity");
	turn %= (unsigned)CPU_COUNT(&all);
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && n++ == turn)
			CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		err(2, "sched_setaffinity");
}

static void check_round(Machine *machine, unsigned round)
{
	uint64_t value;

	for (unsigned i = 0; i < N_MSRS; i++) {
		value = box_peek(&machine->box, BOX_OUT + 8 * i);
		if (value != value_of(machine, round, i))
			wrong(machine, round, "guest", i, value);
		if (box_get_msr(&machine->box, msrs[i], &value) != 1 ||
		    value != value_of(machine, round, i))
			wrong(machine, round, "host", i, value);
	}
}

static void *run(void *data)
{
	Machine *machine = data;

	for (unsigned round = 1; !machine->rounds || round <= machine->rounds; round++) {
		for (unsigned i = 0; i < N_MSRS; i++)
			box_poke(&machine->box, BOX_IN + 8 * i, value_of(machine, round, i));
		/* Not at every turn: a vCPU that stays has to keep its registers as well. */
		if (round % 4)
			move(machine->number + round);
		if (ioctl(machine->box.vcpu, KVM_RUN, 0))
			err(2, "KVM_RUN");
		if (machine->box.run->exit_reason != KVM_EXIT_IO)
			errx(1, "moves: WRONG: machine %u: exit %u", machine->number,
			     machine->box.run->exit_reason);
		check_round(machine, round);
		if (round % REPORT == 0) {
			printf("moves: machine %u: %u rounds\n", machine->number, round);
			fflush(stdout);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static Machine machines[MACHINES];

	for (unsigned i = 0; i < MACHINES; i++) {
		Machine *machine = &machines[i];

		machine->number = i + 1;
		machine->rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
		box_open(&machine->box, BOX_ALL);
		box_enter_long_mode(&machine->box, true);
		box_put(&machine->box, BOX_CODE, code_hold, (size_t)(code_hold_end - code_hold));
	}
	for (unsigned i = 0; i < MACHINES; i++)
		if (pthread_create(&machines[i].thread, NULL, run, &machines[i]))
			errx(2, "pthread_create");
	for (unsigned i = 0; i < MACHINES; i++)
		pthread_join(machines[i].thread, NULL);
	puts("moves: done");
	return 0;
}
