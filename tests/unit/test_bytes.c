// SPDX-License-Identifier: MIT
#include "base/bytes.h"

#include <glib.h>
#include <string.h>

/* Published test vectors: XXH3_64bits of nothing, without seed, and of one byte 0 … */
static void test_checksum_is_xxh3(void)
{
	g_assert_cmphex(bytes_checksum("", 0, 0), ==, 0x2d06800538d394c2);
	g_assert_cmphex(bytes_checksum("", 0, 1), !=, 0x2d06800538d394c2);
}

/* Every single bit that differs is noticed, wherever it is. */
static void test_checksum_sees_each_byte(void)
{
	static uint8_t page[4096];
	uint64_t zero = bytes_checksum(page, sizeof(page), 7);

	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] = (uint8_t)(1u << i % 8);
		g_assert_cmphex(bytes_checksum(page, sizeof(page), 7), !=, zero);
		page[i] = 0;
	}
	g_assert_cmphex(bytes_checksum(page, sizeof(page), 7), ==, zero);
}

static void test_zero_sees_each_byte(void)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));

	g_assert_true(bytes_are_zero(page, sizeof(page)));
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] = (uint8_t)(1u << i % 8);
		g_assert_false(bytes_are_zero(page, sizeof(page)));
		/* Also at lengths that are not those of a page, and no further. */
		for (size_t size = 128; size <= 1152; size += 128)
			g_assert_true(bytes_are_zero(page, size) == (i >= size));
		page[i] = 0;
	}
}

static void test_copy_takes_each_byte(void)
{
	static uint8_t from[3 * 4096] __attribute__((aligned(4096)));
	static uint8_t to[sizeof(from)] __attribute__((aligned(4096)));

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 251 + i / 256 + 1);
	for (size_t size = 0; size <= sizeof(from) - 128; size += 128) {
		memset(to, 0xa5, sizeof(to));
		bytes_copy(to, from, size);
		g_assert_cmpmem(to, size, from, size);
		for (size_t i = size; i < sizeof(to); i++)
			g_assert_cmphex(to[i], ==, 0xa5);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bytes/checksum/xxh3", test_checksum_is_xxh3);
	g_test_add_func("/bytes/checksum/each-byte", test_checksum_sees_each_byte);
	g_test_add_func("/bytes/zero/each-byte", test_zero_sees_each_byte);
	g_test_add_func("/bytes/copy/each-byte", test_copy_takes_each_byte);
	return g_test_run();
}
