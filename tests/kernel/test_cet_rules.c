// SPDX-License-Identifier: MIT
/*
 * The rules of the 6.12 series, compiled from its patch: against expectations written by
 * hand, and against the register library's table over all feature sets.
 */
#include "umbra/cet.h"

#include "common/cet_values.h"

#include <glib.h>

/* What the kernel gives the header. */
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;
#define MSR_IA32_U_CET	     0x6a0
#define MSR_IA32_S_CET	     0x6a2
#define MSR_IA32_PL0_SSP     0x6a4
#define MSR_IA32_PL1_SSP     0x6a5
#define MSR_IA32_PL2_SSP     0x6a6
#define MSR_IA32_PL3_SSP     0x6a7
#define MSR_IA32_INT_SSP_TAB 0x6a8
#define CET_SHSTK_EN	     (1ULL << 0)
#define CET_WRSS_EN	     (1ULL << 1)
#define CET_ENDBR_EN	     (1ULL << 2)
#define CET_RESERVED	     (0xfULL << 6)
#define CET_SUPPRESS	     (1ULL << 10)
#define CET_WAIT_ENDBR	     (1ULL << 11)
#include "cet_rules.h"

static const struct cet_cpu both = {.shstk = true, .ibt = true, .lm = true, .linear_bits = 48};
static const struct cet_cpu wide = {.shstk = true, .ibt = true, .lm = true, .linear_bits = 57};
static const struct cet_cpu shstk = {.shstk = true, .lm = true, .linear_bits = 48};
static const struct cet_cpu ibt = {.ibt = true, .lm = true, .linear_bits = 48};
static const struct cet_cpu legacy = {.shstk = true, .ibt = true, .linear_bits = 48};
static const struct cet_cpu none = {.lm = true, .linear_bits = 48};

typedef struct Expectation {
	enum cet_kind kind;
	const struct cet_cpu *cpu;
	uint64_t value;
	bool valid;
} Expectation;

static const Expectation expectations[] = {
	/* Every bit that the processor defines, and each that it does not. */
	{CET_KIND_CONTROL, &both, 0x0, true},
	{CET_KIND_CONTROL, &both, 0x3f, true},
	{CET_KIND_CONTROL, &both, 0x40, false},
	{CET_KIND_CONTROL, &both, 0x80, false},
	{CET_KIND_CONTROL, &both, 0x100, false},
	{CET_KIND_CONTROL, &both, 0x200, false},
	{CET_KIND_CONTROL, &both, 0x400, true},
	{CET_KIND_CONTROL, &both, 0x800, true},
	{CET_KIND_CONTROL, &both, 0xc00, false},
	/* The base of the bitmap: any page, and canonical. */
	{CET_KIND_CONTROL, &both, 0x1004, true},
	{CET_KIND_CONTROL, &both, 0x3000, true},
	{CET_KIND_CONTROL, &both, 0x00007ffffffff004, true},
	{CET_KIND_CONTROL, &both, 0x0000800000000004, false},
	{CET_KIND_CONTROL, &both, 0xffff800000000004, true},
	{CET_KIND_CONTROL, &both, 0xffff7ffffffff004, false},
	{CET_KIND_CONTROL, &both, 0x8000000000000004, false},
	{CET_KIND_CONTROL, &wide, 0x00fffffffffff004, true},
	{CET_KIND_CONTROL, &wide, 0x0100000000000004, false},
	{CET_KIND_CONTROL, &wide, 0xff00000000000004, true},
	/* Each feature has its bits. */
	{CET_KIND_CONTROL, &shstk, 0x3, true},
	{CET_KIND_CONTROL, &shstk, 0x4, false},
	{CET_KIND_CONTROL, &shstk, 0x20, false},
	{CET_KIND_CONTROL, &shstk, 0x400, false},
	{CET_KIND_CONTROL, &shstk, 0x1000, false},
	{CET_KIND_CONTROL, &ibt, 0x1, false},
	{CET_KIND_CONTROL, &ibt, 0x2, false},
	{CET_KIND_CONTROL, &ibt, 0x3c, true},
	{CET_KIND_CONTROL, &ibt, 0x1804, true},
	{CET_KIND_CONTROL, &none, 0x0, false},
	/* Shadow stack pointers. */
	{CET_KIND_SSP, &both, 0x0, true},
	{CET_KIND_SSP, &both, 0x00007ffffffffffc, true},
	{CET_KIND_SSP, &both, 0x00007ffffffffff9, false},
	{CET_KIND_SSP, &both, 0x00007ffffffffffa, false},
	{CET_KIND_SSP, &both, 0x0000800000000000, false},
	{CET_KIND_SSP, &wide, 0x0000800000000000, true},
	{CET_KIND_SSP, &both, 0xffff800000000000, true},
	{CET_KIND_SSP, &legacy, 0x1000, true},
	{CET_KIND_SSP, &ibt, 0x0, false},
	/* The table: any address, in 64-bit mode. */
	{CET_KIND_SSP_TABLE, &both, 0x1, true},
	{CET_KIND_SSP_TABLE, &both, 0xffffffffffffffff, true},
	{CET_KIND_SSP_TABLE, &both, 0x0000800000000000, false},
	{CET_KIND_SSP_TABLE, &legacy, 0x0, false},
	{CET_KIND_SSP_TABLE, &ibt, 0x0, false},
	{CET_KIND_NONE, &both, 0x0, false},
};

static void test_by_hand(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(expectations); i++) {
		const Expectation *row = &expectations[i];

		g_test_message("row %u: kind %d, value %#" G_GINT64_MODIFIER "x", i, row->kind,
			       row->value);
		g_assert_true(cet_value_is_valid(row->kind, row->value, row->cpu) == row->valid);
	}
}

/* The registers by number; the current SSP has none. */
static enum cet_kind kind_of(CetReg reg)
{
	static const u32 msrs[CET_N_REGS] = {
		[CET_U_CET] = 0x6a0,	   [CET_S_CET] = 0x6a2,	  [CET_PL0_SSP] = 0x6a4,
		[CET_PL1_SSP] = 0x6a5,	   [CET_PL2_SSP] = 0x6a6, [CET_PL3_SSP] = 0x6a7,
		[CET_INT_SSP_TAB] = 0x6a8,
	};

	return reg == CET_GUEST_SSP ? CET_KIND_SSP : cet_msr_kind(msrs[reg]);
}

static void test_msrs(void)
{
	g_assert_cmpint(cet_msr_kind(0x69f), ==, CET_KIND_NONE);
	g_assert_cmpint(cet_msr_kind(0x6a0), ==, CET_KIND_CONTROL);
	g_assert_cmpint(cet_msr_kind(0x6a1), ==, CET_KIND_NONE);
	g_assert_cmpint(cet_msr_kind(0x6a2), ==, CET_KIND_CONTROL);
	g_assert_cmpint(cet_msr_kind(0x6a3), ==, CET_KIND_NONE);
	for (u32 msr = 0x6a4; msr <= 0x6a7; msr++)
		g_assert_cmpint(cet_msr_kind(msr), ==, CET_KIND_SSP);
	g_assert_cmpint(cet_msr_kind(0x6a8), ==, CET_KIND_SSP_TABLE);
	g_assert_cmpint(cet_msr_kind(0x6a9), ==, CET_KIND_NONE);
}

/* What the library says of the processor, leaving out what is KVM's alone. */
static bool library_allows(CetReg reg, uint64_t value, const CetCpu *cpu)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n = cet_check_value(reg, value, cpu, cpu, problems, CET_MAX_PROBLEMS);

	for (unsigned i = 0; i < n; i++)
		if (problems[i].rule->architecture)
			return false;
	return true;
}

static void compare(unsigned set, uint8_t bits, CetValues *values, unsigned count)
{
	const struct cet_cpu kernel = {
		.shstk = set & 1, .ibt = set & 2, .lm = set & 4, .linear_bits = bits};
	const CetCpu library = {.features = (set & 1 ? CET_FEATURE_SHSTK : 0) |
					    (set & 2 ? CET_FEATURE_IBT : 0) |
					    (set & 4 ? CET_FEATURE_LM : 0) | CET_FEATURE_XSAVES,
				.linear_bits = bits,
				.xss = 0x1800};

	for (unsigned reg = 0; reg < CET_N_REGS; reg++) {
		enum cet_kind kind = kind_of((CetReg)reg);

		for (unsigned i = 0; i < count; i++) {
			/* Zero goes into a register that is not there; that is no rule. */
			uint64_t value = cet_values_next(values) | !cet_kind_exists(kind, &kernel);

			if (cet_value_is_valid(kind, value, &kernel) !=
			    library_allows((CetReg)reg, value, &library))
				g_error("%s, features %u, %u bits: the two disagree on "
					"%#" G_GINT64_MODIFIER "x",
					cet_registers[reg].name, set, bits, value);
		}
	}
}

static void test_library(void)
{
	CetValues values = {.state = 612};

	for (unsigned set = 0; set < 8; set++) {
		compare(set, 48, &values, 5000);
		compare(set, 57, &values, 5000);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cet-rules/by-hand", test_by_hand);
	g_test_add_func("/cet-rules/msrs", test_msrs);
	g_test_add_func("/cet-rules/library", test_library);
	return g_test_run();
}
