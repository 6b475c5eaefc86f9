// SPDX-License-Identifier: MIT
/*
 * A program for guests that are saved and moved while it runs: whatever moment they
 * pick, it is in the middle of something, and finds out if anything of it was lost.
 *
 *   shstk_endure MEGABYTES PASSES
 *
 *  - one thread writes a pattern over MEGABYTES of memory and checks it, PASSES times;
 *  - one thread for each CPU calls itself to changing depths, with a signal now and
 *    then, and checks its shadow stack pointer and what it computes on the way;
 *  - one thread goes from CPU to CPU and checks that no clock runs backwards.
 *
 * With 0 PASSES it works until there is something to read on stdin ("endure: asked to end"),
 * and two passes more: it cannot be through its work before it is where it is asked.
 *
 * "endure: pass N" is printed after each pass, "endure: all right" at the end, and
 * then, because a shadow stack that is merely gone would not be missed, a child dies by
 * an overwritten return. Exit status: 1 something is wrong (said in a
 * line), 2 usage, 3 there are no shadow stacks here.
 */
#include "shstk.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_PER_PAGE 512
#define DEPTH_MAX      200
#define CPUS_MAX       8
#define PASSES_LEFT    2 /* when asked to end */

static atomic_bool finished;
static _Atomic unsigned long turns[CPUS_MAX], signals;

static void __attribute__((noreturn)) wrong(const char *what)
{
	printf("endure: WRONG: %s\n", what);
	fflush(stdout);
	_exit(1);
}

static uint64_t expected(uint64_t pass, uint64_t word)
{
	uint64_t v = (pass << 40 ^ word) * 0x9e3779b97f4a7c15UL;

	return v ^ v >> 31;
}

static bool asked_to_end(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	if (poll(&input, 1, 0) != 1 || !(input.revents & POLLIN))
		return false;
	printf("endure: asked to end\n");
	return true;
}

/* 0 passes: until asked to end. */
static void write_and_check(uint64_t megabytes, uint64_t passes)
{
	uint64_t last = passes ? passes : UINT64_MAX;
	uint64_t words = megabytes << 17;
	uint64_t *memory =
		mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		wrong("no memory");
	for (uint64_t pass = 1; pass <= last; pass++) {
		for (uint64_t i = 0; i < words; i++) {
			if (pass > 1 && memory[i] != expected(pass - 1, i))
				wrong("memory does not hold what was written");
			memory[i] = expected(pass, i);
		}
		printf("endure: pass %lu\n", pass);
		if (last == UINT64_MAX && asked_to_end())
			last = pass + PASSES_LEFT;
		fflush(stdout);
	}
	for (uint64_t i = 0; i < words; i++)
		if (memory[i] != expected(last, i))
			wrong("memory does not hold what was written");
}

/* Each call has its entry, 8 bytes below the caller's, and returns a part of a known sum. */
__attribute__((noinline)) static uint64_t descend(unsigned depth, uint64_t ssp)
{
	uint64_t sum;

	if (shstk_pointer() != ssp - 8)
		wrong("the shadow stack pointer is not where it was");
	if (depth == 0)
		return 1;
	sum = descend(depth - 1, ssp - 8) + depth;
	if (shstk_pointer() != ssp - 8)
		wrong("the shadow stack pointer did not come back");
	return sum;
}

static void on_signal(int number)
{
	(void)number;
	signals++;
	if (descend(20, shstk_pointer()) != 211)
		wrong("a sum in a signal handler");
}

static void *dive(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;

	for (unsigned depth = number; !finished; depth = (depth + 37) % DEPTH_MAX) {
		if (descend(depth, shstk_pointer()) != 1 + depth * (depth + 1) / 2)
			wrong("a sum");
		if (++turns[number] % 4096 == 0)
			raise(SIGUSR1);
	}
	return NULL;
}

static int64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void *watch_clocks(void *argument)
{
	static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME};
	int64_t last[3] = {0};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	(void)argument;
	for (unsigned round = 0; !finished; round++) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(round % (unsigned)cpus, &one);
		sched_setaffinity(0, sizeof(one), &one);
		for (unsigned i = 0; i < 3; i++) {
			int64_t time = now(clocks[i]);

			if (time < last[i])
				wrong("a clock ran backwards");
			last[i] = time;
		}
		usleep(1000);
	}
	return NULL;
}

__attribute__((noinline)) static void return_elsewhere(void)
{
	uint64_t *frame = __builtin_frame_address(0);

	/* Any other address: RET compares it with the shadow stack's before it goes there. */
	frame[1] += 1;
	__asm__ volatile("" ::: "memory");
}

static void on_violation(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	_exit(info->si_code == SHSTK_SEGV_CPERR ? 90 : 91);
}

static void prove_that_it_still_guards(void)
{
	struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO};
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		sigaction(SIGSEGV, &action, NULL);
		return_elsewhere();
		_exit(92);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 90)
		wrong("an overwritten return is not noticed");
	printf("endure: an overwritten return: SEGV_CPERR\n");
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t divers[CPUS_MAX], clock_watcher;

	if (argc != 3 || atol(argv[1]) < 1 || atol(argv[2]) < 0 || cpus > CPUS_MAX) {
		fprintf(stderr, "usage: shstk_endure MEGABYTES PASSES\n");
		return 2;
	}
	if (shstk_prctl(ARCH_SHSTK_ENABLE, ARCH_SHSTK_SHSTK) != 0)
		exit(3);
	/* From here main() must not return. */
	signal(SIGUSR1, on_signal);
	for (long i = 0; i < cpus; i++)
		pthread_create(&divers[i], NULL, dive, (void *)i);
	pthread_create(&clock_watcher, NULL, watch_clocks, NULL);
	write_and_check(strtoul(argv[1], NULL, 0), strtoul(argv[2], NULL, 0));
	finished = true;
	for (long i = 0; i < cpus; i++) {
		pthread_join(divers[i], NULL);
		if (turns[i] == 0)
			wrong("a thread never ran");
	}
	pthread_join(clock_watcher, NULL);
	printf("endure: all right, %lu signals\n", (unsigned long)signals);
	prove_that_it_still_guards();
	exit(0);
}
