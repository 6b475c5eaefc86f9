// SPDX-License-Identifier: MIT
/*
 * The table against an oracle written by hand, from the kernel's source and the
 * SDM, without a look at the table: two accounts of the same rules must agree. The
 * third, a real KVM, is asked in the lab (tests/lab/cet_proof.c).
 */
#include "common/cet_values.h"
#include "umbra/cet.h"

#include <glib.h>
#include <string.h>

enum {
	NEITHER,
	IBT_ONLY,
	SHSTK_ONLY,
	BOTH,
};

static CetCpu cpu_of(unsigned set, unsigned linear_bits)
{
	CetCpu cpu = {.features = CET_FEATURE_LM | CET_FEATURE_XSAVES,
		      .linear_bits = (uint8_t)linear_bits,
		      .xss = 0x1800};

	if (set == SHSTK_ONLY || set == BOTH)
		cpu.features |= CET_FEATURE_SHSTK;
	if (set == IBT_ONLY || set == BOTH)
		cpu.features |= CET_FEATURE_IBT;
	return cpu;
}

static bool canonical(uint64_t address, unsigned linear_bits)
{
	int64_t extended = (int64_t)(address << (64 - linear_bits)) >> (64 - linear_bits);

	return (uint64_t)extended == address;
}

static RegVerdict oracle_control(uint64_t value, unsigned set, const CetCpu *cpu, bool user)
{
	if (set == NEITHER)
		return value == 0 ? REG_OK : REG_REFUSES;
	if (value & 0x3c0)
		return REG_REFUSES;
	if (set == IBT_ONLY && value & 0x3)
		return REG_REFUSES;
	if (set == SHSTK_ONLY && value & 0xfffffffffffffc3c)
		return REG_REFUSES;
	if ((value & 0xc00) == 0xc00)
		return REG_REFUSES;
	if ((value >> 12) % 4 != 0 && !(cpu->traits & CET_TRAIT_ANY_BITMAP))
		return REG_REFUSES;
	if (canonical(value & ~0xfffULL, cpu->linear_bits))
		return REG_OK;
	if (cpu->traits & CET_TRAIT_REFUSES_BITMAP)
		return REG_REFUSES;
	return user ? REG_LOSES : REG_ACCEPTS;
}

static RegVerdict oracle_present(const char *name, uint64_t value, unsigned set, const CetCpu *cpu)
{
	bool has_shstk = set == SHSTK_ONLY || set == BOTH;

	if (strcmp(name, "u_cet") == 0)
		return oracle_control(value, set, cpu, true);
	if (strcmp(name, "s_cet") == 0)
		return oracle_control(value, set, cpu, false);
	if (!has_shstk)
		return value == 0 && strcmp(name, "guest_ssp") != 0 ? REG_OK : REG_REFUSES;
	if (!canonical(value, cpu->linear_bits))
		return REG_REFUSES;
	if (strcmp(name, "int_ssp_tab") != 0 && value % 4 != 0)
		return REG_REFUSES;
	return REG_OK;
}

/* With kvm.ignore_msrs, KVM takes and drops any value for an MSR that the guest lacks. */
static RegVerdict oracle(const char *name, uint64_t value, unsigned set, const CetCpu *cpu)
{
	bool control = strcmp(name, "u_cet") == 0 || strcmp(name, "s_cet") == 0;
	bool there = set == BOTH || set == SHSTK_ONLY || (set == IBT_ONLY && control);

	if (!there && cpu->ignores_msrs && value != 0 && strcmp(name, "guest_ssp") != 0)
		return REG_LOSES;
	return oracle_present(name, value, set, cpu);
}

/* The rules boiled down say the same as the rules: here, of states with one register set. */
static void check_judge(CetReg reg, uint64_t value, const CetCpu *cpu, bool sound)
{
	CetState state = {.has = (1u << CET_N_REGS) - 1};
	CetJudge judge;

	/* A zero there would be one more problem: guest_ssp is no MSR. */
	if (!(cpu->features & CET_FEATURE_SHSTK) && reg != CET_GUEST_SSP)
		state.has &= ~(1u << CET_GUEST_SSP);
	state.value[reg] = value;
	cet_judge_init(&judge, cpu, cpu);
	g_assert_true(cet_judge_passes(&judge, &state) == sound);
}

static void test_oracle(void)
{
	CetValues values = {(uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int()};
	unsigned seen[REG_REFUSES + 1] = {0};

	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t value = cet_values_next(&values);
		unsigned choice = (unsigned)cet_values_random(&values);
		CetReg reg = choice % CET_N_REGS;
		unsigned set = choice >> 8 & 3;
		unsigned linear_bits = choice >> 16 & 1 ? 57 : 48;
		CetCpu cpu = cpu_of(set, linear_bits);
		RegVerdict expected, found;
		RegProblem problems[8];
		unsigned n;

		cpu.ignores_msrs = choice >> 17 & 1;
		cpu.traits = choice >> 18 & ((1u << CET_N_TRAITS) - 1);
		expected = oracle(cet_registers[reg].name, value, set, &cpu);
		found = cet_verdict(reg, value, &cpu, &cpu);
		n = cet_check_value(reg, value, &cpu, &cpu, problems, 8);

		if (found != expected)
			g_error("%s=0x%" G_GINT64_MODIFIER "x, features %u, %u bits: %s, and the "
				"oracle says %s",
				cet_registers[reg].name, value, set, linear_bits,
				cet_verdict_name(found), cet_verdict_name(expected));
		g_assert_cmpuint(n > 0, ==, found != REG_OK);
		check_judge(reg, value, &cpu, found == REG_OK);
		seen[found]++;
	}
	/* Values that reach only one verdict would prove nothing. */
	for (unsigned i = 0; i < G_N_ELEMENTS(seen); i++)
		g_assert_cmpuint(seen[i], >, 500);
}

/* Single values, so that the oracle itself is held against something. */
static void test_known_values(void)
{
	static const struct {
		const char *name;
		uint64_t value;
		unsigned set;
		RegVerdict verdict;
	} known[] = {
		{"u_cet", 0x1, BOTH, REG_OK},
		{"u_cet", 0x3, SHSTK_ONLY, REG_OK},
		{"u_cet", 0x4, BOTH, REG_OK},
		{"u_cet", 0x4, SHSTK_ONLY, REG_REFUSES},
		{"u_cet", 0x1, IBT_ONLY, REG_REFUSES},
		{"u_cet", 0x1, NEITHER, REG_REFUSES},
		{"u_cet", 0x0, NEITHER, REG_OK},
		{"u_cet", 0x40, BOTH, REG_REFUSES},
		{"u_cet", 0x200, BOTH, REG_REFUSES},
		{"u_cet", 0x400, BOTH, REG_OK},
		{"u_cet", 0x800, IBT_ONLY, REG_OK},
		{"u_cet", 0xc00, BOTH, REG_REFUSES},
		{"u_cet", 0x1004, BOTH, REG_REFUSES},
		{"u_cet", 0x2000, BOTH, REG_REFUSES},
		{"u_cet", 0x3000, BOTH, REG_REFUSES},
		{"u_cet", 0x4004, BOTH, REG_OK},
		{"u_cet", 0x8000000000000004, BOTH, REG_LOSES},
		{"s_cet", 0x8000000000000004, BOTH, REG_ACCEPTS},
		{"s_cet", 0xffff800000000004, BOTH, REG_OK},
		{"s_cet", 0x800000000000, IBT_ONLY, REG_ACCEPTS},
		{"pl0_ssp", 0xffff888000001000, BOTH, REG_OK},
		{"pl0_ssp", 0x4, SHSTK_ONLY, REG_OK},
		{"pl0_ssp", 0x2, SHSTK_ONLY, REG_REFUSES},
		{"pl1_ssp", 0x1, BOTH, REG_REFUSES},
		{"pl2_ssp", 0x800000000000, BOTH, REG_REFUSES},
		{"pl3_ssp", 0x7fffffffeff8, BOTH, REG_OK},
		{"pl3_ssp", 0x7fffffffeff8, IBT_ONLY, REG_REFUSES},
		{"pl3_ssp", 0x0, IBT_ONLY, REG_OK},
		{"int_ssp_tab", 0x1, BOTH, REG_OK},
		{"int_ssp_tab", 0x800000000000, BOTH, REG_REFUSES},
		{"guest_ssp", 0x7fffffffeff8, SHSTK_ONLY, REG_OK},
		{"guest_ssp", 0x0, IBT_ONLY, REG_REFUSES},
		{"guest_ssp", 0x0, NEITHER, REG_REFUSES},
		{"guest_ssp", 0x7, BOTH, REG_REFUSES},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
		const RegDesc *reg = cet_register_find(known[i].name);
		CetCpu cpu = cpu_of(known[i].set, 48);

		g_test_message("%s=0x%" G_GINT64_MODIFIER "x", known[i].name, known[i].value);
		g_assert_cmpint(
			cet_verdict((CetReg)(reg - cet_registers), known[i].value, &cpu, &cpu), ==,
			known[i].verdict);
		g_assert_cmpint(oracle(known[i].name, known[i].value, known[i].set, &cpu), ==,
				known[i].verdict);
	}
}

/* kvm.ignore_msrs turns refusals of what is not there into silence; the rest stays. */
static void test_ignore_msrs(void)
{
	CetCpu ibt = cpu_of(IBT_ONLY, 48);

	ibt.ignores_msrs = true;
	g_assert_cmpint(cet_verdict(CET_PL3_SSP, 0x1000, &ibt, &ibt), ==, REG_LOSES);
	g_assert_cmpint(cet_verdict(CET_PL3_SSP, 0x0, &ibt, &ibt), ==, REG_OK);
	g_assert_cmpint(cet_verdict(CET_GUEST_SSP, 0x1000, &ibt, &ibt), ==, REG_REFUSES);
	g_assert_cmpint(cet_verdict(CET_U_CET, 0x1, &ibt, &ibt), ==, REG_REFUSES);
}

static void test_int_ssp_tab_needs_long_mode(void)
{
	CetCpu host = cpu_of(BOTH, 48);
	CetCpu guest = host;

	guest.features &= (uint32_t)~CET_FEATURE_LM;
	g_assert_cmpint(cet_verdict(CET_INT_SSP_TAB, 0x1000, &guest, &host), ==, REG_REFUSES);
	g_assert_cmpint(cet_verdict(CET_INT_SSP_TAB, 0x0, &guest, &host), ==, REG_OK);
	g_assert_cmpint(cet_verdict(CET_PL0_SSP, 0x1000, &guest, &host), ==, REG_OK);
}

/* Names and numbers that others rely on, from the kernel's headers and the SDM. */
static void test_identity(void)
{
	static const struct {
		const char *name;
		uint32_t msr;
		uint64_t one_reg;
	} rows[CET_N_REGS] = {
		{"u_cet", 0x6a0, 0x20300002000006a0},	    {"s_cet", 0x6a2, 0x20300002000006a2},
		{"pl0_ssp", 0x6a4, 0x20300002000006a4},	    {"pl1_ssp", 0x6a5, 0x20300002000006a5},
		{"pl2_ssp", 0x6a6, 0x20300002000006a6},	    {"pl3_ssp", 0x6a7, 0x20300002000006a7},
		{"int_ssp_tab", 0x6a8, 0x20300002000006a8}, {"guest_ssp", 0, 0x2030000300000000},
	};

	for (unsigned i = 0; i < CET_N_REGS; i++) {
		g_assert_cmpstr(cet_registers[i].name, ==, rows[i].name);
		g_assert_cmphex(cet_registers[i].msr, ==, rows[i].msr);
		g_assert_cmphex(cet_registers[i].one_reg, ==, rows[i].one_reg);
		g_assert_true(cet_register_find(rows[i].name) == &cet_registers[i]);
	}
	g_assert_null(cet_register_find("ssp"));
	g_assert_null(cet_register_find(""));
}

/* Every bit is in one field or reserved, and no bit is in two. */
static void test_fields(void)
{
	for (unsigned i = 0; i < CET_N_REGS; i++) {
		uint64_t covered = 0;

		for (unsigned f = 0; f < cet_registers[i].n_fields; f++) {
			const RegField *field = &cet_registers[i].fields[f];
			uint64_t mask = (~0ULL >> (64 - field->width)) << field->low;

			g_assert_cmphex(covered & mask, ==, 0);
			covered |= mask;
			g_assert_cmphex(reg_field_get(field, mask), ==,
					~0ULL >> (64 - field->width));
			g_assert_cmphex(reg_field_get(field, ~mask), ==, 0);
		}
		g_assert_cmphex(covered, ==, i <= CET_S_CET ? ~0x3c0ULL : ~0ULL);
	}
}

static uint64_t field_of(uint64_t value, const char *name)
{
	const RegDesc *reg = &cet_registers[CET_U_CET];

	for (unsigned f = 0; f < reg->n_fields; f++)
		if (strcmp(reg->fields[f].name, name) == 0)
			return reg_field_get(&reg->fields[f], value);
	g_assert_not_reached();
}

static void test_decode(void)
{
	uint64_t value = 0xffff800000004805;

	g_assert_cmphex(field_of(value, "shstk_en"), ==, 1);
	g_assert_cmphex(field_of(value, "wr_shstk_en"), ==, 0);
	g_assert_cmphex(field_of(value, "endbr_en"), ==, 1);
	g_assert_cmphex(field_of(value, "suppress"), ==, 0);
	g_assert_cmphex(field_of(value, "tracker"), ==, 1);
	g_assert_cmphex(field_of(value, "legacy_bitmap"), ==, 0xffff800000004);
}

static void test_bits_text(void)
{
	char text[200], small[8];

	g_assert_cmpstr(cet_bits_text(0, text, sizeof(text)), ==, "");
	g_assert_cmpstr(cet_bits_text(1, text, sizeof(text)), ==, "0");
	g_assert_cmpstr(cet_bits_text(0x3000, text, sizeof(text)), ==, "13:12");
	g_assert_cmpstr(cet_bits_text(0xfffffffffffffc3c, text, sizeof(text)), ==, "63:10, 5:2");
	g_assert_cmpstr(cet_bits_text(~0ULL, text, sizeof(text)), ==, "63:0");
	g_assert_cmpstr(cet_bits_text(0x8000000000000001, text, sizeof(text)), ==, "63, 0");
	cet_bits_text(0x5555555555555555, text, sizeof(text));
	g_assert_true(g_str_has_prefix(text, "62, 60, 58"));
	g_assert_true(g_str_has_suffix(text, " 4, 2, 0"));
	cet_bits_text(0x5555555555555555, small, sizeof(small));
	g_assert_cmpuint(strlen(small), <, sizeof(small));
	g_assert_true(g_str_has_prefix(small, "62, 60"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cet/registers/oracle", test_oracle);
	g_test_add_func("/cet/registers/known-values", test_known_values);
	g_test_add_func("/cet/registers/ignore-msrs", test_ignore_msrs);
	g_test_add_func("/cet/registers/long-mode", test_int_ssp_tab_needs_long_mode);
	g_test_add_func("/cet/registers/identity", test_identity);
	g_test_add_func("/cet/registers/fields", test_fields);
	g_test_add_func("/cet/registers/decode", test_decode);
	g_test_add_func("/cet/registers/bits-text", test_bits_text);
	return g_test_run();
}
