// SPDX-License-Identifier: MIT
/* Whole states: every problem is named, and nothing else. */
#include "umbra/cet.h"

#include <glib.h>
#include <string.h>

static const CetCpu both = {.features = CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM |
					CET_FEATURE_XSAVES,
			    .linear_bits = 48,
			    .xss = 0x1800};
static const CetCpu amd = {.features = CET_FEATURE_SHSTK | CET_FEATURE_LM | CET_FEATURE_XSAVES,
			   .linear_bits = 57,
			   .xss = 0x1800};
static const CetCpu none = {.features = CET_FEATURE_LM, .linear_bits = 48};

static CetState live_state(void)
{
	return (CetState){
		.has = (1u << CET_N_REGS) - 1 + CET_HAS_XSS + CET_HAS_CR,
		.value = {[CET_U_CET] = 0x3,
			  [CET_S_CET] = 0x4,
			  [CET_PL3_SSP] = 0x7f0000001000,
			  [CET_GUEST_SSP] = 0x7f0000000ff8},
		.xss = 0x1800,
		.cr0 = 0x80050033,
		.cr4 = 0x800000,
	};
}

/* `expected`: "name bits verdict" of each problem, in order. */
static void expect(const CetState *state, const CetCpu *guest, const CetCpu *host,
		   const char *const *expected)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n = cet_check(state, guest, host, problems, CET_MAX_PROBLEMS);
	CetJudge judge;

	for (unsigned i = 0; i < n; i++) {
		char bits[100];
		g_autofree char *found =
			g_strdup_printf("%s %s %s", problems[i].name,
					cet_bits_text(problems[i].bits, bits, sizeof(bits)),
					cet_verdict_name(problems[i].kvm));

		g_test_message("%s", found);
		g_assert_cmpstr(found, ==, expected[i]);
	}
	g_assert_null(expected[n]);
	cet_judge_init(&judge, guest, host);
	g_assert_true(cet_judge_passes(&judge, state) == (n == 0));
	/* Room for fewer problems changes what is written, not what is counted. */
	for (unsigned room = 0; room <= n; room++) {
		RegProblem few[CET_MAX_PROBLEMS];

		memset(few, 0x5a, sizeof(few));
		g_assert_cmpuint(cet_check(state, guest, host, few, room), ==, n);
		for (unsigned i = 0; i < room; i++)
			g_assert_true(few[i].name == problems[i].name &&
				      few[i].rule == problems[i].rule);
		g_assert_cmphex(few[room].value, ==, 0x5a5a5a5a5a5a5a5a);
	}
}
#define EXPECT(state, guest, host, ...) \
	expect(state, guest, host, (const char *const[]){__VA_ARGS__ NULL})

static void test_good(void)
{
	CetState state = live_state();
	CetState reset = {.has = (1u << CET_N_REGS) - 1 + CET_HAS_XSS + CET_HAS_CR, .cr0 = 0x10};

	EXPECT(&state, &both, &both);
	EXPECT(&reset, &both, &both);
}

static void test_guest_without_cet(void)
{
	CetState state = {.has = CET_HAS_XSS | CET_HAS_CR, .cr0 = 0x10};

	EXPECT(&state, &none, &none);
	EXPECT(&state, &none, &both);
	state.has |= (1u << CET_GUEST_SSP) - 1; /* zeros in MSRs that the guest lacks */
	EXPECT(&state, &none, &both);
}

static void test_all_problems(void)
{
	CetState state = live_state();

	state.value[CET_U_CET] = 0x8000000000000c41;
	state.value[CET_S_CET] = 0x1004;
	state.value[CET_PL0_SSP] = 0x800000000003;
	state.value[CET_GUEST_SSP] = 0x2;
	state.cr0 = 0x80040033;
	state.xss = 0x1900;
	EXPECT(&state, &both, &both, "xss 8 refuses", "cr4 23 accepts", "u_cet 6 refuses",
	       "u_cet 11:10 refuses", "u_cet 63:12 accepts-and-loses", "s_cet 12 refuses",
	       "pl0_ssp 63:0 refuses", "pl0_ssp 1:0 refuses", "guest_ssp 1 refuses", );
}

static void test_move_to_amd(void)
{
	CetState state = live_state();

	EXPECT(&state, &both, &amd, "cpuid 7.0 edx 20 accepts", "s_cet 2 refuses", );
}

/* Nothing in the state shows that the guest uses CET, and yet it was told of it. */
static void test_never_strip(void)
{
	CetState state = {.has = (1u << CET_N_REGS) - 1, .cr0 = 0x10};

	EXPECT(&state, &both, &none, "cpuid 7.0 ecx 7 accepts", "cpuid 7.0 edx 20 accepts",
	       "guest_ssp 63:0 refuses", );
}

static void test_move_to_host_without_cet(void)
{
	CetState state = live_state();

	EXPECT(&state, &both, &none, "cpuid 7.0 ecx 7 accepts", "cpuid 7.0 edx 20 accepts",
	       "xss 12:11 refuses", "cr4 23 refuses", "u_cet 1:0 refuses", "s_cet 2 refuses",
	       "pl3_ssp 46:40, 12 refuses", "guest_ssp 46:40, 11:3 refuses", );
}

static void test_wide_addresses(void)
{
	CetCpu wide = both;
	CetState state = live_state();

	wide.linear_bits = 57;
	state.value[CET_PL3_SSP] = 0x00ff000000001000;
	EXPECT(&state, &wide, &wide);
	EXPECT(&state, &wide, &both, "pl3_ssp 63:0 refuses", );
	/* KVM goes by the host's width, not by what the guest was told. */
	EXPECT(&state, &both, &wide);
}

/* A state taken by a VMM that saves MSRs only. */
static void test_incomplete(void)
{
	CetState state = live_state();

	state.has &= ~(1u << CET_GUEST_SSP);
	EXPECT(&state, &both, &both, "guest_ssp 63:0 accepts", );
	state.has &= (uint32_t) ~(CET_HAS_XSS | CET_HAS_CR);
	EXPECT(&state, &both, &both, "guest_ssp 63:0 accepts", );
}

static void test_cr4_without_features(void)
{
	CetState state = {.has = CET_HAS_CR, .cr0 = 0x80050033, .cr4 = 0x800020};

	EXPECT(&state, &none, &both, "cr4 23 refuses", );
	state.cr4 = 0x20;
	state.cr0 = 0;
	EXPECT(&state, &none, &both);
}

static void test_text(void)
{
	RegProblem problem;
	char text[512], small[16];

	g_assert_cmpuint(cet_check_value(CET_U_CET, 0x8000000000000004, &both, &both, &problem, 1),
			 ==, 1);
	cet_problem_text(&problem, text, sizeof(text));
	g_assert_true(g_str_has_prefix(
		text, "u_cet=0x8000000000000004: bits 63:12 are not a canonical address (KVM "
		      "accepts-and-loses; "));
	g_assert_null(strchr(text, '\n'));
	cet_problem_text(&problem, small, sizeof(small));
	g_assert_cmpstr(small, ==, "u_cet=0x8000000");
}

/* A guest can hold what KVM alone forbids: that case has a mark of its own. */
static void test_kvm_only_rule(void)
{
	RegProblem problem;

	g_assert_cmpuint(cet_check_value(CET_S_CET, 0x1004, &both, &both, &problem, 1), ==, 1);
	g_assert_false(problem.rule->architecture);
	g_assert_cmpuint(cet_check_value(CET_S_CET, 0x40, &both, &both, &problem, 1), ==, 1);
	g_assert_true(problem.rule->architecture);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cet/check/good", test_good);
	g_test_add_func("/cet/check/guest-without-cet", test_guest_without_cet);
	g_test_add_func("/cet/check/all-problems", test_all_problems);
	g_test_add_func("/cet/check/move-to-amd", test_move_to_amd);
	g_test_add_func("/cet/check/never-strip", test_never_strip);
	g_test_add_func("/cet/check/host-without-cet", test_move_to_host_without_cet);
	g_test_add_func("/cet/check/wide-addresses", test_wide_addresses);
	g_test_add_func("/cet/check/incomplete", test_incomplete);
	g_test_add_func("/cet/check/cr4-without-features", test_cr4_without_features);
	g_test_add_func("/cet/check/text", test_text);
	g_test_add_func("/cet/check/kvm-only-rule", test_kvm_only_rule);
	return g_test_run();
}
