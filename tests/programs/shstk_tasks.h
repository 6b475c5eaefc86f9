// SPDX-License-Identifier: MIT
/*
 * Many tasks at once, each with its own shadow stack, checked over context
 * switches and over moves from CPU to CPU.
 */
#ifndef UMBRA_TESTS_SHSTK_TASKS_H
#define UMBRA_TESTS_SHSTK_TASKS_H

#include <stdbool.h>

#define TASKS_MAX 64

typedef struct TaskPlan {
	unsigned n_tasks;
	unsigned n_switches; /* that each task checks */
	bool threads;	     /* threads of this process instead of processes */
} TaskPlan;

/*
 * The caller's shadow stack must be on: processes inherit it, threads get one
 * each from the kernel. Prints a line per task and one for all; false if any
 * check failed anywhere.
 */
bool tasks_prove(const TaskPlan *plan);

#endif
