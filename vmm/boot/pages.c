// SPDX-License-Identifier: MIT
#include "boot/pages.h"

#include <string.h>

/* Two words at a time, which every x86-64 can; the compiler needs no more to use its registers. */
typedef uint64_t Lanes __attribute__((vector_size(16)));

#define STEP 64 /* bytes in one round, four lanes */

static inline Lanes lanes_at(const uint8_t *bytes)
{
	Lanes lanes;

	memcpy(&lanes, bytes, sizeof(lanes));
	return lanes;
}

/* Most pages that are not zero show it in their first bytes. */
static bool is_zero(const uint8_t *page)
{
	for (unsigned i = 0; i < PAGE_BYTES; i += STEP) {
		Lanes any = lanes_at(page + i) | lanes_at(page + i + 16) | lanes_at(page + i + 32) |
			    lanes_at(page + i + 48);

		if (any[0] | any[1])
			return false;
	}
	return true;
}

bool pages_next_run(const uint8_t *bytes, uint64_t size, uint64_t from, uint64_t *ret_start,
		    uint64_t *ret_end)
{
	uint64_t start = from, end;

	while (start < size && is_zero(bytes + start))
		start += PAGE_BYTES;
	if (start >= size)
		return false;
	end = start + PAGE_BYTES;
	while (end < size && !is_zero(bytes + end))
		end += PAGE_BYTES;
	*ret_start = start;
	*ret_end = end;
	return true;
}

/* Goes on with the sums over one run of pages. */
static void add_run(const uint8_t *bytes, uint64_t size, Lanes *sum, Lanes *sums)
{
	Lanes a = *sum, b = *sums;

	for (uint64_t at = 0; at < size; at += STEP) {
		a += lanes_at(bytes + at);
		b += a;
		a += lanes_at(bytes + at + 16);
		b += a;
		a += lanes_at(bytes + at + 32);
		b += a;
		a += lanes_at(bytes + at + 48);
		b += a;
	}
	*sum = a;
	*sums = b;
}

/* Each step can be undone, so that no difference is lost. */
static uint64_t mix(uint64_t result, uint64_t word)
{
	result = (result ^ word) * 0x9e3779b97f4a7c15;
	return result ^ result >> 32;
}

uint64_t pages_checksum(const uint8_t *bytes, uint64_t size)
{
	Lanes sum = {1, 2}, sums = {3, 4};
	uint64_t result = size, start, end = 0;

	while (pages_next_run(bytes, size, end, &start, &end)) {
		sum += start;
		add_run(bytes + start, end - start, &sum, &sums);
	}
	for (unsigned i = 0; i < 2; i++) {
		result = mix(result, sum[i]);
		result = mix(result, sums[i]);
	}
	return result;
}
