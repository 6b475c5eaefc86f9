// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "base/layout.h"
#include "mem/guest_memory.h"
#include "mem/presence.h"

static void test_small(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, &error);

	g_assert_no_error(error);
	g_assert_cmpuint(memory->n_regions, ==, 1);
	g_assert_nonnull(guest_memory_at(memory, 0, 64 * LAYOUT_MIB));
	g_assert_null(guest_memory_at(memory, 0, 64 * LAYOUT_MIB + 1));
	g_assert_null(guest_memory_at(memory, 64 * LAYOUT_MIB, 1));
	g_assert_null(guest_memory_at(memory, 4096, UINT64_MAX));
	g_assert_null(guest_memory_at(memory, UINT64_MAX, 2));
}

static void test_hole(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GuestMemory) memory = guest_memory_create(5 * LAYOUT_GIB, &error);
	uint32_t value = 0x12345678, back = 0;

	g_assert_no_error(error);
	g_assert_cmpuint(memory->n_regions, ==, 2);
	g_assert_nonnull(guest_memory_at(memory, 3 * LAYOUT_GIB - 8, 8));
	g_assert_null(guest_memory_at(memory, 3 * LAYOUT_GIB - 8, 9));
	g_assert_null(guest_memory_at(memory, 3 * LAYOUT_GIB, 1));
	g_assert_null(guest_memory_at(memory, 4 * LAYOUT_GIB - 1, 1));
	g_assert_nonnull(guest_memory_at(memory, 4 * LAYOUT_GIB, 2 * LAYOUT_GIB));
	g_assert_null(guest_memory_at(memory, 4 * LAYOUT_GIB, 2 * LAYOUT_GIB + 1));

	g_assert_true(guest_memory_write(memory, 6 * LAYOUT_GIB - 4, &value, 4));
	g_assert_false(guest_memory_write(memory, 6 * LAYOUT_GIB - 3, &value, 4));
	g_assert_true(guest_memory_read(memory, 6 * LAYOUT_GIB - 4, &back, 4));
	g_assert_cmphex(back, ==, value);
}

/* Huge pages need the low 21 bits of host and guest-physical address to agree. */
static void test_alignment(void)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t size = 4 * LAYOUT_GIB + i * 4096;
		g_autoptr(GuestMemory) memory = guest_memory_create(size, NULL);

		for (unsigned r = 0; r < memory->n_regions; r++)
			g_assert_cmphex((uintptr_t)memory->regions[r].host % 0x200000, ==, 0);
		*(uint8_t *)guest_memory_at(memory, 5 * LAYOUT_GIB + i * 4096 - 1, 1) = 1;
	}
}

static void test_refused_sizes(void)
{
	static const uint64_t bad[] = {
		0,
		1,
		4096,
		64 * LAYOUT_MIB - 4096,
		64 * LAYOUT_MIB + 1,
		LAYOUT_RAM_MAX + 4096,
		UINT64_MAX,
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(guest_memory_create(bad[i], &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
	}
}

/* Whatever holds data has its bit; far from it, bits are clear. */
static void test_presence(void)
{
	g_autoptr(GuestMemory) memory = guest_memory_create(256 * LAYOUT_MIB, NULL);
	uint64_t page = 100 * LAYOUT_MIB / 4096;

	memory->base[page * 4096 + 17] = 1;
	g_autofree uint64_t *bitmap = memory_presence(memory);

	g_assert_true(bitmap[page / 64] >> page % 64 & 1);
	for (uint64_t far = 0; far < 16 * LAYOUT_MIB / 4096; far += 64)
		g_assert_cmphex(bitmap[far / 64], ==, 0);
}

/* In RAM that comes from a file, a page that nobody touched may hold anything. */
static void test_presence_of_file(void)
{
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, NULL);

	memory->from_file = true;
	g_autofree uint64_t *bitmap = memory_presence(memory);

	for (uint64_t page = 0; page < 64 * LAYOUT_MIB / 4096; page += 64)
		g_assert_cmphex(bitmap[page / 64], ==, UINT64_MAX);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/guest-memory/small", test_small);
	g_test_add_func("/guest-memory/hole", test_hole);
	g_test_add_func("/guest-memory/alignment", test_alignment);
	g_test_add_func("/guest-memory/refused-sizes", test_refused_sizes);
	g_test_add_func("/presence/anonymous", test_presence);
	g_test_add_func("/presence/file", test_presence_of_file);
	return g_test_run();
}
