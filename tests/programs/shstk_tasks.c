// SPDX-License-Identifier: MIT
/*
 * Each task calls itself to a depth of its own, and switches at every depth on
 * the way down and back. Before and after each switch:
 *  - SSP is what it was, and lies 8 bytes per call below where the task began;
 *  - the shadow stack's top holds the return address that the frame has;
 *  - the call that follows returns (a wrong SSP would kill the task).
 * A task that got another one's SSP fails the first check, one that got another's
 * page contents the second.
 */
#include "shstk_tasks.h"
#include "shstk.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct Task {
	unsigned number;
	const TaskPlan *plan;
	const int *gate;
	cpu_set_t cpus; /* where it may run */
	uint64_t base;	/* SSP of the first checked frame */
	unsigned switches;
	unsigned moves;
	unsigned kernel_switches; /* as the kernel counts them */
	bool done;
	const char *wrong; /* the first thing that was, NULL if nothing */
} Task;

static int nth_cpu(const cpu_set_t *cpus, unsigned n)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, cpus) && n-- == 0)
			return cpu;
	return 0;
}

/* Moves to the next CPU of the set; it is a mistake of the machine if that does not happen. */
static void move_on(Task *task)
{
	cpu_set_t one;
	unsigned n_cpus = (unsigned)CPU_COUNT(&task->cpus);
	int cpu = nth_cpu(&task->cpus, (task->number + task->moves + 1) % n_cpus);

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0 || sched_getcpu() != cpu)
		task->wrong = "it was not moved to the CPU it asked for";
	task->moves++;
}

/* Gives the CPU away: mostly to whoever waits, at times by sleep, at times by moving. */
static void switch_away(Task *task)
{
	static const struct timespec moment = {.tv_nsec = 1000};

	task->switches++;
	if (task->switches % 16 == 0 && CPU_COUNT(&task->cpus) > 1)
		move_on(task);
	else if (task->switches % 4 == 0)
		nanosleep(&moment, NULL);
	else
		sched_yield();
}

/* Inlined, because SSP and return address are those of the frame that is checked. */
static inline __attribute__((always_inline)) void check(Task *task, uint64_t expected)
{
	uint64_t ssp = shstk_pointer();

	if (ssp != expected)
		task->wrong = "SSP is not where it belongs";
	else if (*(uint64_t *)ssp != (uint64_t)__builtin_return_address(0))
		task->wrong = "the top of the shadow stack is not the return address";
}

__attribute__((noinline)) static void descend(Task *task, unsigned level, unsigned depth)
{
	uint64_t expected = task->base - 8UL * level;

	check(task, expected);
	switch_away(task);
	check(task, expected);
	if (level < depth && !task->wrong)
		descend(task, level + 1, depth);
	check(task, expected);
	switch_away(task);
	check(task, expected);
}

__attribute__((noinline)) static void run_task(Task *task)
{
	unsigned depth = 3 + task->number * 7 % 29;
	struct rusage usage;

	task->base = shstk_pointer() - 8; /* where the call of descend() puts it */
	if (task->base == (uint64_t)-8)
		task->wrong = "it has no shadow stack";
	while (task->switches < task->plan->n_switches && !task->wrong)
		descend(task, 0, depth);
	if (getrusage(RUSAGE_THREAD, &usage) == 0)
		task->kernel_switches = (unsigned)(usage.ru_nvcsw + usage.ru_nivcsw);
	/* Every fourth was a sleep. */
	if (!task->wrong && task->kernel_switches < task->switches / 8)
		task->wrong = "the kernel counts too few context switches";
	task->done = true;
}

/* Blocks until the parent opens the gate by closing its end of it. */
static void wait_for_gate(const int gate[2])
{
	char byte;

	while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
		;
}

static void *thread_main(void *argument)
{
	Task *task = argument;

	wait_for_gate(task->gate);
	run_task(task);
	return NULL;
}

static void prove_with_threads(Task *tasks, unsigned n_tasks, int gate[2])
{
	pthread_t threads[TASKS_MAX];
	unsigned started = 0;

	while (started < n_tasks &&
	       pthread_create(&threads[started], NULL, thread_main, &tasks[started]) == 0)
		started++;
	close(gate[1]);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

static void prove_with_processes(Task *tasks, unsigned n_tasks, int gate[2])
{
	pid_t children[TASKS_MAX];
	unsigned started = 0;

	for (; started < n_tasks; started++) {
		children[started] = fork();
		if (children[started] < 0)
			break;
		if (children[started] == 0) {
			close(gate[1]);
			thread_main(&tasks[started]);
			_exit(0);
		}
	}
	close(gate[1]);
	for (unsigned i = 0; i < started; i++) {
		int status = 0;
		if (waitpid(children[i], &status, 0) == children[i] && status != 0) {
			tasks[i].done = false;
			printf("task %u: wait status 0x%x\n", i, (unsigned)status);
		}
	}
}

static bool report(const Task *task, const Task *tasks)
{
	const char *wrong = task->done ? task->wrong : "it died before its end";

	for (const Task *other = tasks; other < task && task->plan->threads; other++)
		if (other->base == task->base && !wrong)
			wrong = "it shares its shadow stack with another thread";
	printf("task %u: ssp 0x%lx, %u switches checked (kernel: %u), %u moves between CPUs: %s\n",
	       task->number, (unsigned long)task->base, task->switches, task->kernel_switches,
	       task->moves, wrong ? wrong : "ok");
	return !wrong;
}

bool tasks_prove(const TaskPlan *plan)
{
	int gate[2];
	bool ok = true;
	cpu_set_t cpus;
	Task *tasks = mmap(NULL, sizeof(Task) * plan->n_tasks, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (tasks == MAP_FAILED || pipe(gate) != 0 ||
	    sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return false;
	for (unsigned i = 0; i < plan->n_tasks; i++)
		tasks[i] = (Task){.number = i, .plan = plan, .cpus = cpus, .gate = gate};
	fflush(stdout);
	(plan->threads ? prove_with_threads : prove_with_processes)(tasks, plan->n_tasks, gate);
	for (unsigned i = 0; i < plan->n_tasks; i++)
		ok &= report(&tasks[i], tasks);
	printf("tasks: %u %s on %d CPUs: %s\n", plan->n_tasks,
	       plan->threads ? "threads" : "processes", CPU_COUNT(&cpus), ok ? "ok" : "WRONG");
	close(gate[0]);
	munmap(tasks, sizeof(Task) * plan->n_tasks);
	return ok;
}
