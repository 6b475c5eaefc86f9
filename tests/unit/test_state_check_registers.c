// SPDX-License-Identifier: MIT
/* What speaks against a state's registers: each kind of problem by itself, and its text. */
#include "check_case.h"

static void set_msr(MachineState *state, uint32_t index, uint64_t data)
{
	const struct kvm_msr_entry entry = {.index = index, .data = data};

	for (unsigned i = 0; i < vcpu_of(state, 0)->msrs->len; i++) {
		struct kvm_msr_entry *msr =
			&g_array_index(vcpu_of(state, 0)->msrs, struct kvm_msr_entry, i);

		if (msr->index == index) {
			msr->data = data;
			return;
		}
	}
	g_array_append_val(vcpu_of(state, 0)->msrs, entry);
}

static void no_zmm(MachineState *state, HostInfo *host)
{
	(void)state;
	example_leaf(host->cpuid, 0xd, 0)->eax = 0x7;
	host->xcr0 = 0x7;
}

static void xcr0_without_x87(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 1)->xcrs.xcrs[0].value = 6;
}

static void xsave_beyond(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->xsave->data[514] = 2;
}

static void xsave_compacted(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->xsave->data[527] = 0x80;
	vcpu_of(state, 0)->xsave->data[575] = 1;
}

static void xsave_short(MachineState *state, HostInfo *host)
{
	(void)host;
	g_byte_array_set_size(vcpu_of(state, 0)->xsave, 100);
}

static void xsave_large(MachineState *state, HostInfo *host)
{
	(void)host;
	g_byte_array_set_size(vcpu_of(state, 0)->xsave, 11008);
}

static void xsave_large_fits(MachineState *state, HostInfo *host)
{
	xsave_large(state, host);
	example_set_capability(host, KVM_CAP_XSAVE2, 11008);
}

static void mxcsr(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->xsave->data[26] = 2;
}

static void mxcsr_of_amd(MachineState *state, HostInfo *host)
{
	mxcsr(state, host);
	example_leaf(host->cpuid, 0x80000001, 0)->ecx |= 1u << 7;
}

static void bad_u_cet(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 1)->cet.value[CET_U_CET] = 0x8000000000000004;
}

static void no_wp(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 1)->sregs.cr0 &= ~(1ULL << 16);
}

static void xss_beyond(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->cet.xss |= 1 << 8;
}

static void unknown_msr(MachineState *state, HostInfo *host)
{
	(void)host;
	set_msr(state, 0x1c4, 0x40000);
	set_msr(state, 0x1c5, 0);
}

/* KVM names no MTRR and no machine check bank, and has them all the same. */
static void unlisted_msrs(MachineState *state, HostInfo *host)
{
	(void)host;
	set_msr(state, 0x2ff, 0x806);
	set_msr(state, 0x20f, 0xff0000800);
	set_msr(state, 0x47f, 1);
	set_msr(state, 0x480, 1);
}

static void ignored_msr(MachineState *state, HostInfo *host)
{
	set_msr(state, 0x1c4, 0x40000);
	host->cet.ignores_msrs = true;
}

static void crooked_addresses(MachineState *state, HostInfo *host)
{
	(void)host;
	set_msr(state, 0xc0000082, 0x8000000000000000);
	set_msr(state, 0x175, 0x0000900000000000);
}

static void wide_addresses(MachineState *state, HostInfo *host)
{
	set_msr(state, 0xc0000082, 0xff00000000000000);
	host->cet.linear_bits = 57;
}

static void pat(MachineState *state, HostInfo *host)
{
	(void)host;
	set_msr(state, 0x277, 0x407050600070206);
}

static void cr4_feature(MachineState *state, HostInfo *host)
{
	vcpu_of(state, 0)->sregs.cr4 |= 1 << 22;
	example_leaf(host->cpuid, 0x7, 0)->ecx &= ~(1u << 3);
}

static void cr4_reserved(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->sregs.cr4 |= 1ULL << 40 | 1 << 15;
}

static void modes(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->sregs.cr0 = 1ULL << 40 | 1ULL << 31 | 1 << 29 | 1 << 16;
	vcpu_of(state, 0)->sregs.cr4 &= ~(1ULL << 5);
	vcpu_of(state, 1)->sregs.efer = 0;
}

static void lma(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->sregs.efer = 0x900; /* NXE, LME */
	vcpu_of(state, 1)->sregs.cr0 &= ~(1ULL << 31);
	vcpu_of(state, 1)->sregs.cs.l = 0;
}

static void debug_registers(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->debugregs.dr6 |= 1ULL << 32;
	vcpu_of(state, 0)->debugregs.dr7 |= 1ULL << 63;
	vcpu_of(state, 0)->debugregs.flags = 1;
}

static void waiting(MachineState *state, HostInfo *host)
{
	(void)host;
	vcpu_of(state, 0)->mp_state.mp_state = 5;
	vcpu_of(state, 1)->mp_state.mp_state = 9; /* AP_RESET_HOLD */
	vcpu_of(state, 1)->events.exception.pending = 1;
	vcpu_of(state, 1)->events.exception.nr = 32;
}

static const Case cases[] = {
	{"xcr0",
	 no_zmm,
	 {"machine cpuid d.0 eax: 7:5, accepts", "0 xcr0: 7:5, refuses", "1 xcr0: 7:5, refuses"}},
	{"xcr0-x87", xcr0_without_x87, {"1 xcr0: 0, refuses"}},
	{"xsave-beyond", xsave_beyond, {"0 xsave xstate_bv: 17, refuses"}},
	{"xsave-compacted",
	 xsave_compacted,
	 {"0 xsave xcomp_bv: 63, refuses", "0 xsave header: 56, refuses"}},
	{"xsave-short", xsave_short, {"0 xsave: , refuses"}},
	{"xsave-large", xsave_large, {"machine capability xsave2: , refuses"}},
	{"xsave-large-fits", xsave_large_fits, {NULL}},
	{"mxcsr", mxcsr, {"0 mxcsr: 17, refuses"}},
	{"mxcsr-of-amd", mxcsr_of_amd, {NULL}},
	{"u_cet", bad_u_cet, {"1 u_cet: 63:12, accepts-and-loses"}},
	{"wp", no_wp, {"1 cr4: 23, accepts"}},
	{"xss", xss_beyond, {"0 xss: 8, refuses"}},
	{"msr", unknown_msr, {"0 msr 0x1c4: , refuses"}},
	{"msr-unlisted", unlisted_msrs, {"0 msr 0x480: , refuses"}},
	{"msr-ignored", ignored_msr, {"0 msr 0x1c4: , accepts-and-loses"}},
	{"msr-canonical",
	 crooked_addresses,
	 {"0 msr 0x175: , accepts-and-loses", "0 msr 0xc0000082: , refuses"}},
	{"msr-la57", wide_addresses, {NULL}},
	{"msr-pat", pat, {"0 msr 0x277: , refuses"}},
	{"cr4-feature", cr4_feature, {"machine cpuid 7.0 ecx: 3, accepts", "0 cr4: 22, refuses"}},
	{"cr4-reserved", cr4_reserved, {"0 cr4: 40, 15, refuses"}},
	{"modes",
	 modes,
	 {"0 cr0: 40, refuses", "0 cr0: 31, refuses", "0 cr0: 29, refuses", "0 cr4: 5, refuses",
	  "1 cs: , refuses"}},
	{"lma", lma, {"0 efer: 10, refuses", "1 efer: 10, refuses"}},
	{"debug",
	 debug_registers,
	 {"0 dr6: 32, refuses", "0 dr7: 63, refuses", "0 debugregs flags: 0, refuses"}},
	{"waiting", waiting, {"0 mp_state: , refuses", "1 exception number: , refuses"}},
};

static void test_text(void)
{
	g_autoptr(MachineState) state = example_state();
	g_auto(HostInfo) host = {0};

	example_host(&host);
	example_leaf(host.cpuid, 0x7, 0)->ebx &= ~(3u << 16);
	bad_u_cet(state, &host);
	unknown_msr(state, &host);
	g_autoptr(GPtrArray) problems = machine_state_check(state, &host);

	g_assert_cmpuint(problems->len, ==, 3);
	g_assert_cmpstr(
		((StateProblem *)problems->pdata[0])->text, ==,
		"cpuid 7.0 ebx=0xf1bf27eb: bits 17:16 (avx512f, avx512dq) were shown to the "
		"guest, and this host's KVM does not offer them (KVM accepts; choose a "
		"destination whose CPU and KVM offer it, or start the guest with `umbra run "
		"--cpu-like` and what `umbra host --json` says there)");
	g_assert_cmpstr(
		((StateProblem *)problems->pdata[1])->text, ==,
		"msr 0x1c4=0x40000: (xfd) is in use, and this host's KVM does not have it "
		"(KVM refuses; choose a destination whose CPU and KVM offer it (`umbra host "
		"--json` there tells))");
	/* What the register library says of a CET register is said in the same words. */
	RegProblem expected[4];
	char text[512];
	CetCpu guest = cet_cpuid_features(state->cpuid);

	g_assert_cmpuint(
		cet_check_value(CET_U_CET, 0x8000000000000004, &guest, &host.cet, expected, 4), ==,
		1);
	g_assert_cmpstr(((StateProblem *)problems->pdata[2])->text, ==,
			cet_problem_text(&expected[0], text, sizeof(text)));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	check_cases_add(cases, G_N_ELEMENTS(cases));
	g_test_add_func("/state_check/text", test_text);
	return g_test_run();
}
