// SPDX-License-Identifier: MIT
/* Page tables written by hand as SDM 3A, chapter 4 (tables 4-14 to 4-20) has them. */
#include "base/layout.h"
#include "mem/stack_walk.h"

#define P    0x01UL
#define W    0x02UL
#define U    0x04UL
#define D    0x40UL
#define PS   0x80UL
#define PAT  0x1000UL /* of a large page */
#define NX   (1UL << 63)

#define TOP  0x10000UL /* five tables, one page each */
#define L4   0x11000UL
#define L3   0x12000UL
#define L2   0x13000UL
#define L1   0x14000UL
#define DATA 0x200000UL

typedef struct Guest {
	GuestMemory *memory;
	PagingState paging;
} Guest;

static void put(const Guest *guest, uint64_t table, unsigned index, uint64_t entry)
{
	g_assert_true(guest_memory_write(guest->memory, table + 8 * index, &entry, 8));
}

/* 4 levels: linear 0x40_0060_3000 = index 0, 256, 3, 3. */
#define LINEAR 0x4000603000UL

static void guest_init(Guest *guest)
{
	guest->memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	guest->paging = (PagingState){.cr0 = 0x80000001, .cr3 = L4, .cr4 = 0x20, .efer = 0x500};
	put(guest, TOP, 0, L4 | P | W | U);
	put(guest, L4, 0, L3 | P | W | U);
	put(guest, L3, 256, L2 | P | W | U);
	put(guest, L2, 3, L1 | P | W | U);
	put(guest, L1, 3, DATA | P | U | D | NX);
}

static void guest_finish(Guest *guest)
{
	guest_memory_destroy(guest->memory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Guest, guest_finish)

static PageWalkResult walk(const Guest *guest, uint64_t linear, Page *ret_page)
{
	return page_walk(guest->memory, &guest->paging, linear, ret_page);
}

static void test_sizes(void)
{
	g_auto(Guest) guest = {0};
	Page page;

	guest_init(&guest);
	g_assert_cmpint(walk(&guest, LINEAR + 0x123, &page), ==, PAGE_WALK_OK);
	g_assert_cmphex(page.gpa, ==, DATA + 0x123);
	g_assert_cmphex(page.size, ==, 0x1000);
	g_assert_true(page.user);
	g_assert_true(page.shadow_stack);

	put(&guest, L2, 3, 0x400000 | PAT | P | W | U | PS);
	g_assert_cmpint(walk(&guest, LINEAR + 0x123, &page), ==, PAGE_WALK_OK);
	g_assert_cmphex(page.gpa, ==, 0x400000 + 0x3123);
	g_assert_cmphex(page.size, ==, 0x200000);
	g_assert_false(page.shadow_stack);

	put(&guest, L3, 256, 0 | PAT | P | W | PS);
	g_assert_cmpint(walk(&guest, LINEAR + 0x123, &page), ==, PAGE_WALK_OUTSIDE_RAM);
	/* 1 GiB, of which 64 MiB are RAM: the page as a whole is not. */
	g_assert_cmpint(walk(&guest, 0x4000000000, &page), ==, PAGE_WALK_OUTSIDE_RAM);
}

static void test_five_levels(void)
{
	g_auto(Guest) guest = {0};
	Page page;

	guest_init(&guest);
	guest.paging.cr3 = TOP;
	guest.paging.cr4 |= 1 << 12;
	g_assert_cmpuint(paging_linear_bits(&guest.paging), ==, 57);
	g_assert_cmpint(walk(&guest, LINEAR, &page), ==, PAGE_WALK_OK);
	g_assert_cmphex(page.gpa, ==, DATA);
	/* Canonical with 57 bits, and not with 48. */
	g_assert_cmpint(walk(&guest, 0x00f0000000000000, &page), ==, PAGE_WALK_NOT_MAPPED);
	guest.paging.cr4 &= ~(1UL << 12);
	guest.paging.cr3 = L4;
	g_assert_cmpint(walk(&guest, 0x00f0000000000000, &page), ==, PAGE_WALK_NOT_CANONICAL);
}

/* SDM 3A, 4.6.1: R/W clear and dirty set in the last entry, R/W set in all above it. */
static void test_shadow_stack_pages(void)
{
	g_auto(Guest) guest = {0};
	static const struct {
		uint64_t upper, last;
		bool shadow_stack;
	} rows[] = {
		{P | W | U, P | U | D, true},
		{P | W | U, P | U, false},
		{P | W | U, P | U | W | D, false},
		{P | U, P | U | D, false},
		{P | W, P | D, true},
	};

	guest_init(&guest);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		Page page;

		put(&guest, L2, 3, L1 | rows[i].upper);
		put(&guest, L1, 3, DATA | rows[i].last);
		g_assert_cmpint(walk(&guest, LINEAR, &page), ==, PAGE_WALK_OK);
		g_assert_cmpint(page.shadow_stack, ==, rows[i].shadow_stack);
		g_assert_cmpint(page.user, ==, (rows[i].upper & U) && (rows[i].last & U));
	}
}

static void test_hostile_tables(void)
{
	g_auto(Guest) guest = {0};
	Page page;

	guest_init(&guest);
	/* A table that is its own parent, at every level: ends where levels end. */
	put(&guest, L4, 0, L4 | P | W | U);
	g_assert_cmpint(walk(&guest, 0, &page), ==, PAGE_WALK_OK);
	g_assert_cmphex(page.gpa, ==, L4);
	put(&guest, L4, 0, 0x000ffffffffff000 | P | W | U);
	g_assert_cmpint(walk(&guest, LINEAR, &page), ==, PAGE_WALK_OUTSIDE_RAM);
	guest.paging.cr3 = UINT64_MAX;
	g_assert_cmpint(walk(&guest, LINEAR, &page), ==, PAGE_WALK_OUTSIDE_RAM);
	guest.paging.efer = 0;
	g_assert_cmpint(walk(&guest, LINEAR, &page), ==, PAGE_WALK_NOT_64_BIT);
}

static void test_stack(void)
{
	g_auto(Guest) guest = {0};
	VcpuView vcpu = {.id = 1, .cpl = 3};
	const uint64_t calls[] = {0x401111, 0x402222, 0x403333};

	guest_init(&guest);
	vcpu.paging = guest.paging;
	vcpu.cet.value[CET_GUEST_SSP] = LINEAR + 0x1000 - sizeof(calls);
	vcpu.cet.value[CET_PL3_SSP] = LINEAR + 0x1000 - sizeof(calls) + 8;
	g_assert_true(guest_memory_write(guest.memory, DATA + 0x1000 - sizeof(calls), calls,
					 sizeof(calls)));
	for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
		unsigned first = cpl == 3 ? 0 : 1;

		vcpu.cpl = cpl;
		g_autoptr(Backtrace) backtrace = stack_walk(guest.memory, &vcpu, 100);

		g_assert_cmpint(backtrace->from, ==, cpl == 3 ? CET_GUEST_SSP : CET_PL3_SSP);
		g_assert_cmpuint(backtrace->frames->len, ==, 3 - first);
		for (unsigned i = first; i < 3; i++)
			g_assert_cmphex(
				g_array_index(backtrace->frames, ShadowStackEntry, i - first).value,
				==, calls[i]);
		g_assert_cmpint(backtrace->end, ==, SHADOW_STACK_END_UNMAPPED);
	}
	/* Ring 0 with a shadow stack of its own: that is the live one. */
	vcpu.cpl = 0;
	vcpu.cet.value[CET_S_CET] = 1;
	g_autoptr(Backtrace) own = stack_walk(guest.memory, &vcpu, 100);

	g_assert_cmpint(own->from, ==, CET_GUEST_SSP);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/page-walk/sizes", test_sizes);
	g_test_add_func("/page-walk/five-levels", test_five_levels);
	g_test_add_func("/page-walk/shadow-stack-pages", test_shadow_stack_pages);
	g_test_add_func("/page-walk/hostile-tables", test_hostile_tables);
	g_test_add_func("/page-walk/stack", test_stack);
	return g_test_run();
}
