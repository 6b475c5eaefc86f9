// SPDX-License-Identifier: MIT
/*
 * A call stack of known shape, told by the program itself and then held still:
 *
 *   shstk_depth DEPTH
 *
 * calls itself DEPTH times, raises a signal, calls itself DEPTH times more in
 * the handler, prints its shadow stack ("entry INDEX ADDRESS VALUE", the
 * youngest first, as read with ordinary loads) and then turns in ring 3 without
 * a system call, for whoever looks at it from outside. Exit status: 2 usage,
 * 3 there are no shadow stacks here.
 */
#include "shstk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t top; /* of the shadow stack: where it was empty */
static volatile int depth;
static volatile unsigned long turns;

/* In one go: nothing of the kernel's may come between two lines. */
__attribute__((noinline)) static void print_stack(void)
{
	static char text[65536];
	int length = 0, index = 0;

	/* From the caller's entry on: this function's own will be gone. */
	for (uint64_t at = shstk_pointer() + 8; at < top; at += 8, index++)
		length += snprintf(text + length, sizeof(text) - (size_t)length,
				   "entry %d 0x%lx 0x%lx\n", index, at, *(const uint64_t *)at);
	length += snprintf(text + length, sizeof(text) - (size_t)length, "shstk_depth: turning\n");
	if (write(STDOUT_FILENO, text, (size_t)length) != length)
		_exit(1);
}

__attribute__((noinline)) static void turn(void)
{
	print_stack();
	while (turns != ~0UL)
		turns++;
}

__attribute__((noinline)) static int inner(int left)
{
	if (left == 0) {
		turn();
		return 0;
	}
	return left + inner(left - 1);
}

static void on_signal(int number)
{
	(void)number;
	turns = (unsigned long)inner(depth);
}

__attribute__((noinline)) static int outer(int left)
{
	if (left == 0)
		return raise(SIGUSR1);
	return left + outer(left - 1);
}

int main(int argc, char **argv)
{
	depth = argc == 2 ? atoi(argv[1]) : 0;
	if (depth < 1 || depth > 500) {
		fprintf(stderr, "usage: shstk_depth DEPTH (1 to 500)\n");
		return 2;
	}
	signal(SIGUSR1, on_signal);
	if (shstk_prctl(ARCH_SHSTK_ENABLE, ARCH_SHSTK_SHSTK) != 0)
		return 3;
	/* From here main() must not return. */
	top = shstk_pointer();
	turns = (unsigned long)outer(depth);
	exit(0);
}
