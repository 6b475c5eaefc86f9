// SPDX-License-Identifier: MIT
/*
 * Entries and tokens are written by hand as SDM 1, 17.2 and Linux,
 * arch/x86/kernel/shstk.c lay them out, on two pages of made-up memory.
 */
#include "cet/shadow_stack.h"

#include <glib.h>
#include <string.h>

#define BASE  0x7f0000001000UL /* one page of shadow stack … */
#define OTHER 0x7f0000100000UL /* … and another one elsewhere */
#define PAGE  4096UL

typedef struct Memory {
	uint64_t words[PAGE / 8], other[PAGE / 8];
	ShadowStackRead beyond; /* what a read after BASE's page gives */
} Memory;

static ShadowStackRead read_memory(void *owner, uint64_t address, uint64_t *ret_value)
{
	const Memory *memory = owner;

	if (address >= BASE && address < BASE + PAGE)
		*ret_value = memory->words[(address - BASE) / 8];
	else if (address >= OTHER && address < OTHER + PAGE)
		*ret_value = memory->other[(address - OTHER) / 8];
	else
		return memory->beyond;
	return SHADOW_STACK_READ_OK;
}

static ShadowStackReader reader_of(Memory *memory)
{
	return (ShadowStackReader){.read = read_memory, .owner = memory, .linear_bits = 48};
}

static void test_kinds(void)
{
	Memory memory = {.beyond = SHADOW_STACK_READ_UNMAPPED};
	ShadowStackReader reader = reader_of(&memory);
	const uint64_t at = BASE + 0x800;
	const struct {
		uint64_t value;
		ShadowStackKind kind;
	} rows[] = {
		{0x401136, SHADOW_STACK_RETURN},
		{0xffffffff81000005, SHADOW_STACK_RETURN},
		/* Odd, and with bit 1 set: still code, for it points to no shadow stack. */
		{0x401133, SHADOW_STACK_RETURN},
		{(at + 8) | 1, SHADOW_STACK_RESTORE_TOKEN},
		/* A token copied from elsewhere names another place: just a value. */
		{(at + 16) | 1, SHADOW_STACK_RETURN},
		{at, SHADOW_STACK_SUPERVISOR_FREE},
		{at | 1, SHADOW_STACK_SUPERVISOR_BUSY},
		{OTHER + 0x10 + 2, SHADOW_STACK_PREVIOUS_SSP},
		{OTHER + 0x10 + 3, SHADOW_STACK_PREVIOUS_SSP},
		{(at + 8) | 1UL << 63, SHADOW_STACK_SIGNAL_FRAME},
		/* The old SSP may be the very top of its stack. */
		{(BASE + PAGE) | 1UL << 63, SHADOW_STACK_SIGNAL_FRAME},
		{0x401136 | 1UL << 63, SHADOW_STACK_UNKNOWN},
		{0x1234567890abcdef, SHADOW_STACK_UNKNOWN},
		{0, SHADOW_STACK_EMPTY},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("0x%lx", rows[i].value);
		g_assert_cmpint(shadow_stack_classify(&reader, at, rows[i].value), ==,
				rows[i].kind);
	}
}

static void test_walk(void)
{
	Memory memory = {.beyond = SHADOW_STACK_READ_NOT_STACK};
	ShadowStackReader reader = reader_of(&memory);
	ShadowStackEntry entries[16];
	unsigned n;
	uint64_t end_at;
	const unsigned last = PAGE / 8;

	memory.words[last - 1] = 0x400001;
	memory.words[last - 2] = 0x400002;
	memory.words[last - 3] = 0x400003;
	g_assert_cmpint(shadow_stack_walk(&reader, BASE + PAGE - 24, entries, 16, &n, &end_at), ==,
			SHADOW_STACK_END_NOT_STACK);
	g_assert_cmpuint(n, ==, 3);
	g_assert_cmphex(entries[0].at, ==, BASE + PAGE - 24);
	g_assert_cmphex(entries[0].value, ==, 0x400003);
	g_assert_cmphex(entries[2].value, ==, 0x400001);
	g_assert_cmphex(end_at, ==, BASE + PAGE);

	memory.beyond = SHADOW_STACK_READ_UNMAPPED;
	g_assert_cmpint(shadow_stack_walk(&reader, BASE + PAGE - 8, entries, 16, &n, &end_at), ==,
			SHADOW_STACK_END_UNMAPPED);
	g_assert_cmpuint(n, ==, 1);
	memory.beyond = SHADOW_STACK_READ_DAMAGED;
	g_assert_cmpint(shadow_stack_walk(&reader, BASE + PAGE, entries, 16, &n, &end_at), ==,
			SHADOW_STACK_END_DAMAGED);
	g_assert_cmpuint(n, ==, 0);
	g_assert_cmpint(shadow_stack_walk(&reader, BASE, entries, 16, &n, &end_at), ==,
			SHADOW_STACK_END_LIMIT);
	g_assert_cmpuint(n, ==, 16);
	g_assert_cmphex(end_at, ==, BASE + 16 * 8);
}

static void test_bad_ssp(void)
{
	Memory memory = {.beyond = SHADOW_STACK_READ_OK};
	ShadowStackReader reader = reader_of(&memory);
	ShadowStackEntry entries[4];
	unsigned n;
	uint64_t end_at;
	static const uint64_t bad[] = {1, BASE + 4, 0x0000800000000000, 0x8000000000000000};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_cmpint(shadow_stack_walk(&reader, bad[i], entries, 4, &n, &end_at), ==,
				SHADOW_STACK_END_BAD_SSP);
	g_assert_cmpint(shadow_stack_walk(&reader, 0, entries, 4, &n, &end_at), ==,
			SHADOW_STACK_END_NONE_HERE);
	/* At the end of either half of the address space the walk ends, whatever reads say. */
	g_assert_cmpint(shadow_stack_walk(&reader, 0x00007ffffffffff8, entries, 4, &n, &end_at), ==,
			SHADOW_STACK_END_UNMAPPED);
	g_assert_cmpuint(n, ==, 1);
	g_assert_cmpint(shadow_stack_walk(&reader, 0xfffffffffffffff8, entries, 4, &n, &end_at), ==,
			SHADOW_STACK_END_UNMAPPED);
	g_assert_cmpuint(n, ==, 1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/shadow-stack/kinds", test_kinds);
	g_test_add_func("/shadow-stack/walk", test_walk);
	g_test_add_func("/shadow-stack/bad-ssp", test_bad_ssp);
	return g_test_run();
}
