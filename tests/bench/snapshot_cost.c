// SPDX-License-Identifier: MIT
/*
 * snapshot_cost FOLDER [USED_MIB [TOTAL_MIB]]: what a snapshot file costs to write, to
 * open and to verify, as time stamp counter ticks (in the emulated CET machine:
 * instructions, the kernel's included) and as seconds. The memory is noise in runs of
 * 1 to 128 pages, with holes between them, in huge pages where the host has them.
 */
#include "../unit/state_example.h"
#include "snapshot/snapshot.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define MIB  (1UL << 20)
#define HUGE (2 * MIB)

static uint64_t random_state = 88172645463325252;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint8_t *make_memory(size_t used, size_t total)
{
	uint8_t *memory = mmap(NULL, total + HUGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t pages = total / SNAPSHOT_PAGE, gap = 2 * (pages * 64 / (used / SNAPSHOT_PAGE) - 64);
	size_t at = 0, done = 0;

	memory += -(uintptr_t)memory % HUGE;
	madvise(memory, total, MADV_HUGEPAGE);
	while (done < used) {
		size_t run = 1 + next_random() % 128;

		for (; run > 0 && at < pages && done < used; run--, at++, done += SNAPSHOT_PAGE)
			for (size_t i = 0; i < SNAPSHOT_PAGE; i += 8)
				*(uint64_t *)(memory + at * SNAPSHOT_PAGE + i) = next_random();
		at += gap ? next_random() % gap : 0;
		if (at >= pages)
			break;
	}
	return memory;
}

typedef struct Timer {
	uint64_t ticks;
	struct timespec time;
} Timer;

static Timer timer_now(void)
{
	Timer timer;

	clock_gettime(CLOCK_MONOTONIC, &timer.time);
	timer.ticks = __rdtsc();
	return timer;
}

static void timer_print(const char *what, Timer start)
{
	Timer end = timer_now();

	printf(" %s=%.2fM/%.3fs", what, (double)(end.ticks - start.ticks) / 1e6,
	       (double)(end.time.tv_sec - start.time.tv_sec) +
		       (double)(end.time.tv_nsec - start.time.tv_nsec) / 1e9);
}

int main(int argc, char **argv)
{
	size_t used = (argc > 2 ? strtoul(argv[2], NULL, 10) : 98) * MIB;
	size_t total = (argc > 3 ? strtoul(argv[3], NULL, 10) : 256) * MIB;
	g_autofree char *path = g_build_filename(argc > 1 ? argv[1] : ".", "cost.snap", NULL);
	uint8_t *memory = make_memory(used, total);
	g_autoptr(MachineState) state = state_example(1, total);
	const SnapshotRam ram = {.bytes = memory, .size = total, .anonymous = true};
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = NULL;
	SnapshotSummary summary;
	Timer start = timer_now();

	if (!snapshot_save(path, state, &ram, NULL, NULL, &summary, &error))
		g_error("%s", error->message);
	printf("snapshot stored=%.1fMB", (double)summary.ram_bytes / 1e6);
	timer_print("save", start);
	start = timer_now();
	snapshot = snapshot_open(path, &error);
	if (!snapshot)
		g_error("%s", error->message);
	timer_print("open", start);
	start = timer_now();
	if (!snapshot_verify_ram(snapshot, NULL, &error))
		g_error("%s", error->message);
	timer_print("verify", start);
	printf("\n");
	unlink(path);
	return 0;
}
