// SPDX-License-Identifier: MIT
/* Values worth trying on a CET register: the edges of every rule, and random ones. */
#ifndef UMBRA_TESTS_CET_VALUES_H
#define UMBRA_TESTS_CET_VALUES_H

#include <stdint.h>

typedef struct CetValues {
	uint64_t state; /* the seed, to begin with: the same seed gives the same values */
} CetValues;

static inline uint64_t cet_values_random(CetValues *values)
{
	/* splitmix64: good enough, and every seed is as good as another */
	uint64_t z = values->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint64_t cet_values_next(CetValues *values)
{
	static const uint64_t edges[] = {
		0x0000000000000000, 0xffffffffffffffff, 0x00007fffffffffff, 0x0000800000000000,
		0xffff7fffffffffff, 0xffff800000000000, 0x00ffffffffffffff, 0x0100000000000000,
		0xfeffffffffffffff, 0xff00000000000000, 0x8000000000000000, 0x7fffffffffffffff,
		0x00000000ffffffff, 0x0000000100000000, 0x00007ffffffff000, 0xffff800000001000,
	};
	uint64_t a = cet_values_random(values), b = cet_values_random(values);
	unsigned one = a & 63, other = a >> 6 & 63;

	switch (a >> 56 & 7) {
	case 0: /* one or two bits */
		return 1ULL << one | 1ULL << other;
	case 1: /* around an edge */
		return edges[a & 15] + (a >> 8 & 15) - 8;
	case 2: /* an edge and control bits */
		return (edges[a & 15] & ~0xfffULL) | (b & 0xfff);
	case 3: /* legal control bits, mostly: few of them, none reserved */
		return b & a >> 12 & 0xc3f;
	case 4: /* control bits with a user bitmap, aligned to 4 or 16 KiB */
		return (b & 0x00007ffffffff000) >> (a & 1 ? 0 : 14) << (a & 1 ? 0 : 14) |
		       (a >> 16 & b >> 3 & 0xc3f);
	case 5: /* an aligned kernel or user address */
		return (a & 1 ? b | 0xffff800000000000 : b & 0x00007fffffffffff) & ~7ULL;
	case 6: /* the same with its last bits */
		return a & 1 ? b | 0xffff800000000000 : b & 0x00007fffffffffff;
	default:
		return b;
	}
}

#endif
