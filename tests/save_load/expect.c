// SPDX-License-Identifier: MIT
/*
 * What the guests `work`, `cet_deep` and `cet_moments` have to say, reckoned by other code than
 * theirs: no SSE, no memory shared between the rounds but one array, no calls through pointers.
 *
 *	expect work
 *	expect cet_deep [ROUNDS]
 *	expect cet_moments CPUS ROUNDS		one processor after the other
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORK_ROUNDS 40
#define WORK_WORDS  (1U << 19)

static int work(void)
{
	uint64_t *memory = calloc(WORK_WORDS, sizeof(*memory));
	uint64_t chain = 0;

	if (!memory)
		return 2;
	for (unsigned round = 1; round <= WORK_ROUNDS; round++) {
		uint64_t sum = 0;

		for (uint64_t i = 0; i < WORK_WORDS; i++) {
			uint64_t next =
				memory[i] * 6364136223846793005UL + 1442695040888963407UL + i;

			memory[i] = next ^ next >> 29;
			sum += memory[i];
			chain = (chain & 0xffffffffU) * 0x9e3779b1U + memory[i];
		}
		printf("work: round %u sum 0x%" PRIx64 " chain 0x%" PRIx64 "\n", round, sum, chain);
		puts("work: a string of accesses to one port, byte after byte");
	}
	free(memory);
	printf("work: naps %u\nwork: done\n", WORK_ROUNDS - 1);
	return 0;
}

#define DEEP_ROUNDS 24
#define DEEP_DEPTH  27
#define DEEP_NEST   100

/* `right`: which of the two ways led here. */
static uint64_t mix(int right, unsigned n, uint64_t seed)
{
	uint64_t below = n < 2 ? seed ^ n
			       : mix(seed % 2, n - 1, seed * 31 + 7) + mix(n % 2, n - 2, seed ^ n);

	return right ? below ^ seed : below * 3;
}

static int cet_deep(unsigned rounds)
{
	for (uint64_t round = 0; round < rounds; round++) {
		uint64_t result = mix(0, DEEP_DEPTH, round + DEEP_NEST);

		for (unsigned n = 0; n <= DEEP_NEST; n++)
			result += n;
		printf("cet_deep: round %" PRIu64 " result 0x%" PRIx64 "\n", round + 1, result);
	}
	printf("cet_deep: cp error 1 cpl 3 after %u rounds\ncet_deep: done\n", rounds);
	return 0;
}

#define MOMENTS_DEPTH 24
#define MOMENTS_SEEDS 8

static int cet_moments(unsigned cpus, unsigned rounds)
{
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		for (uint64_t round = 1; round < rounds; round++) {
			uint64_t seed = round * MOMENTS_SEEDS + cpu + DEEP_NEST;
			uint64_t result =
				mix(0, MOMENTS_DEPTH, seed) + DEEP_NEST * (DEEP_NEST + 1) / 2;

			printf("cet_moments: cpu %u round %" PRIu64 " result 0x%" PRIx64
			       " crimes %" PRIu64 "\n",
			       cpu, round, result, round);
		}
		printf("cet_moments: cpu %u cp error 1 cpl 3 after %u rounds, signals some, "
		       "switches some\n",
		       cpu, rounds);
	}
	puts("cet_moments: done");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "work") == 0)
		return work();
	if (argc >= 2 && argc <= 3 && strcmp(argv[1], "cet_deep") == 0)
		return cet_deep(argc == 3 ? (unsigned)atoi(argv[2]) : DEEP_ROUNDS);
	if (argc == 4 && strcmp(argv[1], "cet_moments") == 0)
		return cet_moments((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	fputs("usage: expect work | expect cet_deep [ROUNDS] | expect cet_moments CPUS ROUNDS\n",
	      stderr);
	return 2;
}
