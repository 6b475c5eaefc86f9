// SPDX-License-Identifier: MIT
/* How processors come into the world: CPUID, the MSRs that firmware would set, the entry state. */
#include "machine/internal.h"

#include "base/error.h"
#include "cet/cpuid.h"
#include "kvm/cpuid.h"

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
static bool apply_cet_policy(struct kvm_cpuid2 *cpuid, CetPolicy policy, GError **error)
{
	uint32_t offered = cet_cpuid_features(cpuid).features;
	bool shstk = offered & CET_FEATURE_SHSTK, ibt = offered & CET_FEATURE_IBT;

	if (policy == CET_POLICY_ON && !(shstk && ibt))
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "--cet on: this host's KVM offers its guests no %s%s%s "
				  "(`umbra host` says why)",
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

bool machine_add_vcpus(Machine *machine, unsigned cpus, CetPolicy cet, GError **error)
{
	g_autofree struct kvm_cpuid2 *cpuid = kvm_system_cpuid(&machine->system, error);

	if (!cpuid || !check_address_width(cpuid, machine->memory, error))
		return false;
	machine->host_cpu = cet_cpuid_features(cpuid);
	if (!apply_cet_policy(cpuid, cet, error))
		return false;
	machine->guest_cpu = cet_cpuid_features(cpuid);
	cpuid = cpuid_for_machine(cpuid, &machine->system, cpus);
	machine->vcpus = g_new0(Vcpu, cpus);
	for (unsigned id = 0; id < cpus; id++)
		if (!add_vcpu(machine, id, cpuid, error))
			return false;
	return true;
}

void machine_remove_vcpus(Machine *machine)
{
	for (unsigned i = 0; i < machine->n_vcpus; i++)
		kvm_vcpu_finish(&machine->vcpus[i].kvm);
	g_free(machine->vcpus);
	machine->vcpus = NULL;
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
