// SPDX-License-Identifier: MIT
/* How processors come into the world: CPUID, the MSRs that firmware would set, the entry state. */
#include "machine/internal.h"

#include "base/error.h"
#include "cet/cpuid.h"
#include "kvm/cpuid.h"
#include "kvm/kvm_state.h"
#include "state/cpu_common.h"

enum {
	MSR_IA32_MISC_ENABLE = 0x1a0,
	MSR_MTRR_DEF_TYPE = 0x2ff,
};

/*
 * What firmware leaves behind. Fast strings on (SDM 4, IA32_MISC_ENABLE[0]);
 * MTRRs on with all memory write-back (SDM 3A 12.11.2.1): without them Linux
 * gives up on PAT.
 */
static const struct kvm_msr_entry firmware_msrs[] = {
	{.index = MSR_IA32_MISC_ENABLE, .data = 1},
	{.index = MSR_MTRR_DEF_TYPE, .data = 1 << 11 | 6},
};

/* What the host offers, as the policy lets the guest see it. */
static bool apply_cet_policy(struct kvm_cpuid2 *cpuid, CetPolicy policy, bool narrowed,
			     GError **error)
{
	uint32_t offered = cet_cpuid_features(cpuid).features;
	bool shstk = offered & CET_FEATURE_SHSTK, ibt = offered & CET_FEATURE_IBT;

	if (policy == CET_POLICY_ON && !(shstk && ibt))
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "--cet on: this host's KVM%s offers its guests no %s%s%s "
				  "(`umbra host` says why)",
				  narrowed ? ", or that of --cpu-like," : "",
				  shstk ? "" : "shadow stacks (SHSTK)",
				  shstk || ibt ? "" : " and no ",
				  ibt ? "" : "indirect branch tracking (IBT)");
	if (policy == CET_POLICY_OFF)
		cet_cpuid_hide(cpuid);
	return true;
}

/* RAM ends where the CPU can still reach it: CPUID 80000008H EAX[7:0] (SDM 2A). */
static bool check_address_width(const struct kvm_cpuid2 *cpuid, const GuestMemory *memory,
				GError **error)
{
	const struct kvm_cpuid_entry2 *sizes = cet_cpuid_find(cpuid, 0x80000008, 0);
	const MemoryRegion *last = &memory->regions[memory->n_regions - 1];
	unsigned bits = sizes ? sizes->eax & 0xff : 36;

	if (last->gpa + last->size > 1UL << MIN(bits, 63U))
		return umbra_fail(
			error, UMBRA_ERROR_USAGE,
			"memory: %lu MiB do not fit into the %u-bit physical addresses of "
			"this CPU",
			memory->size / LAYOUT_MIB, bits);
	return true;
}

static bool add_vcpu(Machine *machine, unsigned id, struct kvm_cpuid2 *cpuid, GError **error)
{
	Vcpu *vcpu = &machine->vcpus[id];

	vcpu->machine = machine;
	if (!kvm_vcpu_init(&vcpu->kvm, &machine->vm, id, error))
		return false;
	machine->n_vcpus++;
	cpuid_for_vcpu(cpuid, id);
	return kvm_vcpu_set_cpuid(&vcpu->kvm, cpuid, error) &&
	       kvm_vcpu_set_msrs(&vcpu->kvm, firmware_msrs, G_N_ELEMENTS(firmware_msrs), error);
}

size_t machine_cpuid_size(const struct kvm_cpuid2 *cpuid)
{
	return sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);
}

static const char *feature_names(uint32_t features)
{
	if (features & CET_FEATURE_SHSTK)
		return features & CET_FEATURE_IBT ? "SHSTK and IBT" : "SHSTK";
	return features & CET_FEATURE_IBT ? "IBT" : "neither SHSTK nor IBT";
}

/* A guest that runs keeps the CPUID that it has seen, whatever anybody wishes now. */
static bool check_cet_wish(const MachineState *like, CetPolicy policy, GError **error)
{
	uint32_t both = CET_FEATURE_SHSTK | CET_FEATURE_IBT;
	uint32_t has = cet_cpuid_features(like->cpuid).features & both;

	if (policy == CET_POLICY_OFF && has)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "--cet off: the guest has seen %s in CPUID, and that cannot be "
				  "taken from it while it runs (leave --cet out)",
				  feature_names(has));
	if (policy == CET_POLICY_ON && has != both)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "--cet on: the guest has seen %s in CPUID, and cannot be given "
				  "more while it runs (leave --cet out)",
				  feature_names(has));
	return true;
}

/* The guest's CPUID: made of what the host supports, or as the guest has it already. */
static struct kvm_cpuid2 *choose_cpuid(Machine *machine, unsigned cpus, const MachineConfig *config,
				       const MachineState *like, GError **error)
{
	g_autofree struct kvm_cpuid2 *cpuid = kvm_system_cpuid(&machine->system, error);

	if (!cpuid)
		return NULL;
	machine->host_cpu = cet_cpuid_features(cpuid);
	if (like) {
		if (!check_cet_wish(like, config->cet, error))
			return NULL;
		return g_memdup2(like->cpuid, machine_cpuid_size(like->cpuid));
	}
	cpuid = cpuid_for_machine(g_steal_pointer(&cpuid), &machine->system, cpus);
	if (config->cpu_like && !cpu_common_narrow(cpuid, config->cpu_like, error)) {
		g_prefix_error(error, "--cpu-like: ");
		return NULL;
	}
	if (!apply_cet_policy(cpuid, config->cet, config->cpu_like, error))
		return NULL;
	return g_steal_pointer(&cpuid);
}

/* What the CPUID of a host does not tell of its KVM. */
static bool ask_traits(Machine *machine, GError **error)
{
	int failed = cet_traits(machine->vcpus[0].kvm.fd, &machine->guest_cpu,
				&machine->host_cpu.traits);

	return failed == 0 ||
	       umbra_fail_errno(error, -failed, "cannot find out what KVM takes in s_cet");
}

bool machine_add_vcpus(Machine *machine, unsigned cpus, const MachineConfig *config,
		       const MachineState *like, GError **error)
{
	machine->cpuid = choose_cpuid(machine, cpus, config, like, error);
	if (!machine->cpuid || !check_address_width(machine->cpuid, machine->memory, error))
		return false;
	machine->guest_cpu = cet_cpuid_features(machine->cpuid);
	machine->vcpus = g_new0(Vcpu, cpus);
	for (unsigned id = 0; id < cpus; id++)
		if (!add_vcpu(machine, id, machine->cpuid, error))
			return false;
	cpuid_for_vcpu(machine->cpuid, 0);
	if (!ask_traits(machine, error))
		return false;
	return kvm_vcpu_get_tsc_khz(&machine->vcpus[0].kvm, &machine->host_tsc_khz, error);
}

void machine_remove_vcpus(Machine *machine)
{
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		kvm_vcpu_finish(&machine->vcpus[i].kvm);
	g_free(machine->vcpus);
	g_free(machine->cpuid);
	machine->vcpus = NULL;
	machine->cpuid = NULL;
	machine->n_vcpus = 0;
}

bool machine_set_entry(Machine *machine, GError **error)
{
	KvmVcpu *first = &machine->vcpus[0].kvm;
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (!kvm_vcpu_get_sregs(first, &sregs, error))
		return false;
	boot_entry_state(&machine->boot, &regs, &sregs);
	return kvm_vcpu_set_sregs(first, &sregs, error) && kvm_vcpu_set_regs(first, &regs, error);
}
