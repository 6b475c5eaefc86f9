// SPDX-License-Identifier: MIT
/*
 * Each function exists twice, for every x86-64 CPU and for those with AVX2, which
 * needs half of the instructions. bytes_avx2.c is this file again, compiled for it.
 */
#include "base/bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#ifdef __AVX2__
#define NAME(name) name##_avx2
typedef long long Vector __attribute__((vector_size(32)));
#else
#define NAME(name) name##_plain
typedef long long Vector __attribute__((vector_size(16)));
#endif

uint64_t NAME(checksum)(const void *data, size_t size, uint64_t seed);
bool NAME(are_zero)(const void *data, size_t size);

uint64_t NAME(checksum)(const void *data, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, size, seed);
}

/*
 * Looking whether a vector has a bit costs more than the vector's loading: so many are
 * taken together that a page of zeros, which has to be read to its end, is dear no more.
 */
#define VECTORS 16

bool NAME(are_zero)(const void *data, size_t size)
{
	const Vector *at = data, *end = at + size / sizeof(*at);

	while (at < end) {
		unsigned n = end - at >= VECTORS ? VECTORS : 4;
		Vector any = at[0] | at[1] | at[2] | at[3];
		long long low;

		if (n == VECTORS)
			for (unsigned i = 4; i < VECTORS; i++)
				any |= at[i];
		low = any[0] | any[1];
#ifdef __AVX2__
		low |= any[2] | any[3];
#endif
		if (low != 0)
			return false;
		at += n;
	}
	return true;
}

#ifndef __AVX2__

uint64_t checksum_avx2(const void *data, size_t size, uint64_t seed);
bool are_zero_avx2(const void *data, size_t size);

uint64_t bytes_checksum(const void *data, size_t size, uint64_t seed)
{
	return __builtin_cpu_supports("avx2") ? checksum_avx2(data, size, seed)
					      : checksum_plain(data, size, seed);
}

bool bytes_are_zero(const void *data, size_t size)
{
	return __builtin_cpu_supports("avx2") ? are_zero_avx2(data, size)
					      : are_zero_plain(data, size);
}

#endif
