// SPDX-License-Identifier: MIT
/*
 * Preempts threads in the middle of signals, on their way in and out, where a kernel
 * restores CET's registers apart from all others:
 *
 *   shstk_signals COUNT
 *
 * Two threads send themselves COUNT signals each. A third, of a class that preempts at once,
 * wakes up all the time; all share one CPU. Prints "signals: all right"; a thread that loses its
 * shadow stack dies by SIGSEGV. Exit status: 1 something is wrong, 2 usage, 3 there are no
 * shadow stacks here.
 */
#include "shstk.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS		 2
#define NAP_NS		 50000
#define WAKINGS_AT_LEAST 100

static atomic_bool finished;
static _Atomic unsigned long handled, wakings;

static void __attribute__((noreturn)) wrong(const char *what)
{
	printf("signals: WRONG: %s\n", what);
	exit(1);
}

static void on_signal(int number)
{
	(void)number;
	if (shstk_pointer() == 0)
		wrong("no shadow stack in a signal handler");
	handled++;
}

static void *send_signals(void *argument)
{
	for (uintptr_t left = (uintptr_t)argument; left > 0; left--) {
		uint64_t ssp = shstk_pointer();

		raise(SIGUSR1);
		if (ssp == 0 || shstk_pointer() != ssp)
			wrong("the shadow stack pointer is not where it was");
	}
	return NULL;
}

static void *preempt(void *argument)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};

	(void)argument;
	while (!finished) {
		nanosleep(&nap, NULL);
		wakings++;
	}
	return NULL;
}

static void stay_on_one_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0)
		wrong("sched_setaffinity");
}

static pthread_t start_preemptor(void)
{
	const struct sched_param priority = {.sched_priority = 1};
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
	pthread_attr_setschedparam(&attributes, &priority);
	if (pthread_create(&thread, &attributes, preempt, NULL) != 0)
		wrong("pthread_create");
	return thread;
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 0) : 0;
	pthread_t senders[THREADS], preemptor;

	if (count == 0) {
		fprintf(stderr, "usage: shstk_signals COUNT\n");
		return 2;
	}
	stay_on_one_cpu();
	if (shstk_prctl(ARCH_SHSTK_ENABLE, ARCH_SHSTK_SHSTK) != 0)
		exit(3);
	/* From here main() must not return. */
	signal(SIGUSR1, on_signal);
	preemptor = start_preemptor();
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&senders[i], NULL, send_signals, (void *)(uintptr_t)count) != 0)
			wrong("pthread_create");
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(senders[i], NULL);
	finished = true;
	pthread_join(preemptor, NULL);
	if (handled != THREADS * count || wakings < WAKINGS_AT_LEAST)
		wrong("too few signals, or too few preemptions");
	printf("signals: all right\n");
	exit(0);
}
