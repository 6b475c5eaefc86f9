// SPDX-License-Identifier: MIT
/* What speaks against loading a state: each kind of problem by itself, and nothing else beside it.
 */
#include "state/check.h"
#include "state/cpu_features.h"
#include "judged_example.h"

/* "WHERE WHAT: BITS, KVM", as in "machine xcr0: 5, refuses" and "1 u_cet: 6, refuses". */
static char *told(const StateProblem *problem)
{
	char bits[160];
	g_autofree char *where =
		problem->vcpu < 0 ? g_strdup("machine") : g_strdup_printf("%d", problem->vcpu);

	return g_strdup_printf("%s %s: %s, %s", where, problem->what,
			       cet_bits_text(problem->bits, bits, sizeof(bits)),
			       cet_verdict_name(problem->kvm));
}

static void expect(const MachineState *state, const HostInfo *host, const char *const *expected)
{
	g_autoptr(GPtrArray) problems = machine_state_check(state, host);

	for (unsigned i = 0; i < problems->len; i++)
		g_test_message("%s", ((const StateProblem *)problems->pdata[i])->text);
	for (unsigned i = 0; i < problems->len; i++) {
		g_autofree char *found = told(problems->pdata[i]);

		g_assert_cmpstr(found, ==, expected[i]);
	}
	g_assert_null(expected[problems->len]);
}

/* One thing about the example that is changed, and what must be found. */
typedef struct Case {
	const char *name;
	void (*change)(MachineState *state, HostInfo *host);
	const char *expected[8];
} Case;

static VcpuState *vcpu_of(MachineState *state, unsigned id)
{
	return state->vcpus->pdata[id];
}

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

static void nothing(MachineState *state, HostInfo *host)
{
	(void)state, (void)host;
}

/* What a guest cannot notice. */
static void better_host(MachineState *state, HostInfo *host)
{
	(void)state;
	for (size_t i = 0; i < CPU_FEATURE_WORDS; i++) {
		const CpuidWord *at = &cpu_feature_words[i].at;

		for (unsigned j = 0; j < host->cpuid->nent; j++) {
			struct kvm_cpuid_entry2 *leaf = &host->cpuid->entries[j];

			uint32_t *const words[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};

			if (leaf->function == at->function && leaf->index == at->index)
				*words[at->reg] = ~0u;
		}
	}
	host->xcr0 = ~0ULL;
	host->cet.xss = ~0ULL;
	host->cet.linear_bits = 57;
}

/* OSXSAVE, OSPKE, MONITOR and APIC follow the guest; topology is the VMM's. */
static void dynamic_bits(MachineState *state, HostInfo *host)
{
	example_leaf(state->cpuid, 0x1, 0)->ecx |= 1u << 27 | 1u << 3 | 1u << 31;
	example_leaf(state->cpuid, 0x1, 0)->edx |= 1u << 9 | 1u << 28;
	example_leaf(state->cpuid, 0x7, 0)->ecx |= 1u << 4;
	example_leaf(host->cpuid, 0x1, 0)->ecx &= ~(1u << 27 | 1u << 3 | 1u << 31);
	example_leaf(host->cpuid, 0x1, 0)->edx &= ~(1u << 9 | 1u << 28);
	example_leaf(host->cpuid, 0x7, 0)->ecx &= ~(1u << 4);
}

static void deadline_by_capability(MachineState *state, HostInfo *host)
{
	(void)state;
	example_leaf(host->cpuid, 0x1, 0)->ecx &= ~(1u << 24);
}

static void no_deadline(MachineState *state, HostInfo *host)
{
	deadline_by_capability(state, host);
	example_set_capability(host, KVM_CAP_TSC_DEADLINE_TIMER, 0);
}

static void no_kvm(MachineState *state, HostInfo *host)
{
	(void)state;
	host->access = HOST_KVM_DENIED;
	host->reason = g_strdup("Permission denied");
}

static void no_cpuid(MachineState *state, HostInfo *host)
{
	(void)host;
	g_clear_pointer(&state->cpuid, g_free);
}

static void another_vendor(MachineState *state, HostInfo *host)
{
	struct kvm_cpuid_entry2 *leaf = example_leaf(host->cpuid, 0, 0);

	(void)state;
	memcpy(&leaf->ebx, "Auth", 4);
	memcpy(&leaf->edx, "enti", 4);
	memcpy(&leaf->ecx, "cAMD", 4);
}

static void narrow_addresses(MachineState *state, HostInfo *host)
{
	(void)state;
	example_leaf(host->cpuid, 0x80000008, 0)->eax = 0x3027;
}

static void much_memory(MachineState *state, HostInfo *host)
{
	example_leaf(host->cpuid, 0x80000008, 0)->eax = 0x3020;
	example_leaf(state->cpuid, 0x80000008, 0)->eax = 0x3020;
	state->memory = 3ULL << 30 | 4096; /* the last page is above the hole */
}

static void memory_that_fits(MachineState *state, HostInfo *host)
{
	much_memory(state, host);
	state->memory = 3ULL << 30;
}

static void fewer_counters(MachineState *state, HostInfo *host)
{
	(void)state;
	example_leaf(host->cpuid, 0xa, 0)->eax = 0x7300402;
}

static void component_elsewhere(MachineState *state, HostInfo *host)
{
	(void)state;
	example_leaf(host->cpuid, 0xd, 5)->ebx = 0x340;
}

static void component_larger(MachineState *state, HostInfo *host)
{
	(void)state;
	example_leaf(host->cpuid, 0xd, 12)->eax = 0x20;
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

static void no_shstk(MachineState *state, HostInfo *host)
{
	(void)state;
	host->cet.features &= ~(uint32_t)CET_FEATURE_SHSTK;
	host->guest_ssp = false;
	for (unsigned i = 0; i < 2; i++) {
		vcpu_of(state, i)->cet.value[CET_U_CET] = 0;
		vcpu_of(state, i)->cet.value[CET_PL3_SSP] = 0;
	}
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

static void no_guest_ssp(MachineState *state, HostInfo *host)
{
	(void)state;
	host->guest_ssp = false;
}

static void no_one_reg(MachineState *state, HostInfo *host)
{
	no_guest_ssp(state, host);
	example_set_capability(host, KVM_CAP_ONE_REG, 0);
}

static void no_sregs2(MachineState *state, HostInfo *host)
{
	(void)state;
	example_set_capability(host, KVM_CAP_SREGS2, 0);
}

static void few_vcpus(MachineState *state, HostInfo *host)
{
	(void)state;
	example_set_capability(host, KVM_CAP_MAX_VCPUS, 1);
}

static void no_smm(MachineState *state, HostInfo *host)
{
	example_set_capability(host, KVM_CAP_X86_SMM, 0);
	vcpu_of(state, 1)->events.smi.smm = 1;
}

static void idle_capabilities(MachineState *state, HostInfo *host)
{
	(void)state;
	example_set_capability(host, KVM_CAP_X86_SMM, 0);
	example_set_capability(host, KVM_CAP_EXCEPTION_PAYLOAD, 0);
	example_set_capability(host, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 0);
	example_set_capability(host, KVM_CAP_NESTED_STATE, 0);
	example_set_capability(host, KVM_CAP_DIRTY_LOG_RING, 0);
}

static void pending_things(MachineState *state, HostInfo *host)
{
	idle_capabilities(state, host);
	vcpu_of(state, 0)->events.exception_has_payload = 1;
	vcpu_of(state, 1)->events.triple_fault.pending = 1;
}

static void slow_host(MachineState *state, HostInfo *host)
{
	(void)state;
	host->tsc_khz = 2399399; /* 250.5 ppm below */
}

static void almost_the_same(MachineState *state, HostInfo *host)
{
	(void)state;
	host->tsc_khz = 2399401; /* 249.6 ppm below */
}

static void fast_host(MachineState *state, HostInfo *host)
{
	vcpu_of(state, 1)->tsc_khz = 0; /* not known: nothing to say */
	host->tsc_khz = 2500000;
}

static void scaling_host(MachineState *state, HostInfo *host)
{
	fast_host(state, host);
	example_set_capability(host, KVM_CAP_TSC_CONTROL, 1);
}

static void unknown_frequency(MachineState *state, HostInfo *host)
{
	(void)state;
	host->tsc_khz = 0;
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
	{"same-host", nothing, {NULL}},
	{"better-host", better_host, {NULL}},
	{"dynamic-bits", dynamic_bits, {NULL}},
	{"deadline-by-capability", deadline_by_capability, {NULL}},
	{"no-deadline", no_deadline, {"machine cpuid 1 ecx: 24, accepts"}},
	{"no-kvm", no_kvm, {"machine kvm: , refuses"}},
	{"no-cpuid", no_cpuid, {"machine cpuid: , accepts"}},
	{"vendor", another_vendor, {"machine cpuid 0 ebx: , accepts"}},
	{"maxphyaddr", narrow_addresses, {"machine cpuid 80000008 eax: 7:0, accepts"}},
	{"memory", much_memory, {"machine memory: , accepts"}},
	{"memory-fits", memory_that_fits, {NULL}},
	{"pmu", fewer_counters, {"machine cpuid a eax: 15:8, accepts"}},
	{"component-place", component_elsewhere, {"machine cpuid d.5 ebx: , accepts"}},
	{"component-size", component_larger, {"machine cpuid d.12 eax: , accepts"}},
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
	{"shstk",
	 no_shstk,
	 {"machine cpuid 7.0 ecx: 7, accepts", "0 guest_ssp: 46:32, 11:4, refuses",
	  "1 guest_ssp: 46:32, 11:4, refuses"}},
	{"u_cet", bad_u_cet, {"1 u_cet: 63:12, accepts-and-loses"}},
	{"wp", no_wp, {"1 cr4: 23, accepts"}},
	{"xss", xss_beyond, {"0 xss: 8, refuses"}},
	{"guest_ssp", no_guest_ssp, {"machine guest_ssp: , refuses"}},
	{"one_reg", no_one_reg, {"machine capability one_reg: , refuses"}},
	{"sregs2", no_sregs2, {"machine capability sregs2: , refuses"}},
	{"vcpus", few_vcpus, {"machine capability max_vcpus: , refuses"}},
	{"smm", no_smm, {"machine capability x86_smm: , refuses"}},
	{"idle-capabilities", idle_capabilities, {NULL}},
	{"pending",
	 pending_things,
	 {"machine capability exception_payload: , refuses",
	  "machine capability x86_triple_fault_event: , refuses"}},
	{"tsc-slow", slow_host, {"0 tsc_khz: , accepts", "1 tsc_khz: , accepts"}},
	{"tsc-tolerance", almost_the_same, {NULL}},
	{"tsc-fast", fast_host, {"0 tsc_khz: , refuses"}},
	{"tsc-scaled", scaling_host, {NULL}},
	{"tsc-unknown", unknown_frequency, {NULL}},
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

static void test_case(const void *data)
{
	const Case *c = data;
	g_autoptr(MachineState) state = example_state();
	g_auto(HostInfo) host = {0};

	example_host(&host);
	c->change(state, &host);
	expect(state, &host, c->expected);
}

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
		"destination whose CPU and KVM offer it (`umbra host --json` there tells))");
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
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/state_check/%s", cases[i].name);

		g_test_add_data_func(path, &cases[i], test_case);
	}
	g_test_add_func("/state_check/text", test_text);
	return g_test_run();
}
