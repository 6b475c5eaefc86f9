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

/*
 * Written out: the library's memcpy copies long blocks by a string instruction,
 * and the emulated machine in which boots are measured counts each byte of it.
 */
static void copy_page(uint8_t *to, const uint8_t *from)
{
	for (unsigned i = 0; i < PAGE_BYTES; i += STEP) {
		Lanes a = lanes_at(from + i), b = lanes_at(from + i + 16);
		Lanes c = lanes_at(from + i + 32), d = lanes_at(from + i + 48);

		memcpy(to + i, &a, sizeof(a));
		memcpy(to + i + 16, &b, sizeof(b));
		memcpy(to + i + 32, &c, sizeof(c));
		memcpy(to + i + 48, &d, sizeof(d));
	}
}

void pages_copy(uint8_t *to, const uint8_t *from, uint64_t size)
{
	uint64_t at = 0;

	for (; size - at >= PAGE_BYTES; at += PAGE_BYTES)
		if (!is_zero(from + at))
			copy_page(to + at, from + at);
	memcpy(to + at, from + at, size - at);
}

void pages_sum_init(PagesSum *sum)
{
	*sum = (PagesSum){.sum = {1, 2}, .sums = {3, 4}};
}

static void add_run(PagesSum *sum, const uint8_t *bytes, uint64_t size)
{
	Lanes a = {sum->sum[0], sum->sum[1]}, b = {sum->sums[0], sum->sums[1]};

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
	*sum = (PagesSum){.sum = {a[0], a[1]}, .sums = {b[0], b[1]}};
}

void pages_sum_add(PagesSum *sum, const uint8_t *bytes, uint64_t size, uint64_t offset)
{
	uint64_t start, end = 0;

	while (pages_next_run(bytes, size, end, &start, &end)) {
		sum->sum[0] += offset + start;
		add_run(sum, bytes + start, end - start);
	}
}

/* Each step can be undone, so that no difference is lost. */
static uint64_t mix(uint64_t result, uint64_t word)
{
	result = (result ^ word) * 0x9e3779b97f4a7c15;
	return result ^ result >> 32;
}

uint64_t pages_sum_value(const PagesSum *sum)
{
	return mix(mix(mix(mix(0, sum->sum[0]), sum->sum[1]), sum->sums[0]), sum->sums[1]);
}
