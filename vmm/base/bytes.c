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
typedef long long Vector __attribute__((vector_size(32), may_alias));
#else
#define NAME(name) name##_plain
typedef long long Vector __attribute__((vector_size(16), may_alias));
#endif

uint64_t NAME(checksum)(const void *data, size_t size, uint64_t seed);
bool NAME(are_zero)(const void *data, size_t size);
void NAME(copy)(void *to, const void *from, size_t size);

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

/* Four are read before one is written, or a compiler would make a memcpy() of it. */
void NAME(copy)(void *to, const void *from, size_t size)
{
	const Vector *at = from, *end = at + size / sizeof(*at);

	for (Vector *out = to; at < end; at += 4, out += 4) {
		Vector a = at[0], b = at[1], c = at[2], d = at[3];

		out[0] = a;
		out[1] = b;
		out[2] = c;
		out[3] = d;
	}
}

#ifndef __AVX2__

uint64_t checksum_avx2(const void *data, size_t size, uint64_t seed);
bool are_zero_avx2(const void *data, size_t size);
void copy_avx2(void *to, const void *from, size_t size);

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

void bytes_copy(void *to, const void *from, size_t size)
{
	if (__builtin_cpu_supports("avx2"))
		copy_avx2(to, from, size);
	else
		copy_plain(to, from, size);
}

#endif
