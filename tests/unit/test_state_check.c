// SPDX-License-Identifier: MIT
/* What speaks against a host for a state: each lack by itself, and nothing else beside it. */
#include "check_case.h"
#include "state/cpu_features.h"

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
	{"shstk",
	 no_shstk,
	 {"machine cpuid 7.0 ecx: 7, accepts", "0 guest_ssp: 46:32, 11:4, refuses",
	  "1 guest_ssp: 46:32, 11:4, refuses"}},
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
};

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	check_cases_add(cases, G_N_ELEMENTS(cases));
	return g_test_run();
}
