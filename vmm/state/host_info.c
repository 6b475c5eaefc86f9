// SPDX-License-Identifier: MIT
#include "state/host_info.h"

#include "umbra/cet.h"

/* Numbers as in linux/kvm.h; the ones after 6.1 are spelled out, older headers lack them. */
const HostCapability host_capabilities[HOST_N_CAPABILITIES] = {
	{"one_reg", KVM_CAP_ONE_REG},
	{"max_vcpus", KVM_CAP_MAX_VCPUS},
	{"nr_vcpus", KVM_CAP_NR_VCPUS},
	{"max_vcpu_id", KVM_CAP_MAX_VCPU_ID},
	{"nr_memslots", KVM_CAP_NR_MEMSLOTS},
	{"mp_state", KVM_CAP_MP_STATE},
	{"vcpu_events", KVM_CAP_VCPU_EVENTS},
	{"debugregs", KVM_CAP_DEBUGREGS},
	{"xsave", KVM_CAP_XSAVE},
	{"xsave2", KVM_CAP_XSAVE2},
	{"xcrs", KVM_CAP_XCRS},
	{"sregs2", KVM_CAP_SREGS2},
	{"nested_state", KVM_CAP_NESTED_STATE},
	{"exception_payload", KVM_CAP_EXCEPTION_PAYLOAD},
	{"x86_triple_fault_event", KVM_CAP_X86_TRIPLE_FAULT_EVENT},
	{"adjust_clock", KVM_CAP_ADJUST_CLOCK},
	{"kvmclock_ctrl", KVM_CAP_KVMCLOCK_CTRL},
	{"tsc_control", KVM_CAP_TSC_CONTROL},
	{"get_tsc_khz", KVM_CAP_GET_TSC_KHZ},
	{"tsc_deadline_timer", KVM_CAP_TSC_DEADLINE_TIMER},
	{"vcpu_attributes", KVM_CAP_VCPU_ATTRIBUTES},
	{"split_irqchip", KVM_CAP_SPLIT_IRQCHIP},
	{"x2apic_api", KVM_CAP_X2APIC_API},
	{"signal_msi", KVM_CAP_SIGNAL_MSI},
	{"irqfd", KVM_CAP_IRQFD},
	{"ioeventfd", KVM_CAP_IOEVENTFD},
	{"immediate_exit", KVM_CAP_IMMEDIATE_EXIT},
	{"manual_dirty_log_protect2", KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2},
	{"dirty_log_ring", KVM_CAP_DIRTY_LOG_RING},
	{"x86_smm", KVM_CAP_X86_SMM},
	{"get_msr_features", KVM_CAP_GET_MSR_FEATURES},
	{"smaller_maxphyaddr", KVM_CAP_SMALLER_MAXPHYADDR},
};

const struct HostParameterName host_parameters[HOST_N_PARAMETERS] = {
	[HOST_PARAMETER_INTEL_CET] = {"kvm_intel", "cet"},
	[HOST_PARAMETER_INTEL_EPT] = {"kvm_intel", "ept"},
	[HOST_PARAMETER_INTEL_UNRESTRICTED_GUEST] = {"kvm_intel", "unrestricted_guest"},
	[HOST_PARAMETER_INTEL_ALLOW_SMALLER_MAXPHYADDR] = {"kvm_intel", "allow_smaller_maxphyaddr"},
	[HOST_PARAMETER_INTEL_ENABLE_APICV] = {"kvm_intel", "enable_apicv"},
	[HOST_PARAMETER_INTEL_NESTED] = {"kvm_intel", "nested"},
	[HOST_PARAMETER_AMD_NPT] = {"kvm_amd", "npt"},
	[HOST_PARAMETER_AMD_NESTED] = {"kvm_amd", "nested"},
	[HOST_PARAMETER_KVM_IGNORE_MSRS] = {"kvm", "ignore_msrs"},
};

void host_info_finish(HostInfo *info)
{
	g_clear_pointer(&info->path, g_free);
	g_clear_pointer(&info->reason, g_free);
	g_clear_pointer(&info->kernel, g_free);
	for (unsigned i = 0; i < HOST_N_PARAMETERS; i++)
		g_clear_pointer(&info->parameters[i], g_free);
	g_clear_pointer(&info->cpuid, g_free);
	g_clear_pointer(&info->msrs, g_free);
}

int host_info_capability(const HostInfo *info, int number)
{
	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		if (host_capabilities[i].number == number)
			return info->capabilities[i];
	return 0;
}

bool host_info_is(const HostInfo *info, HostParameter parameter, bool value)
{
	/* Kernels print booleans as Y and N, and integers used as such as 1 and 0. */
	const char *text = info->parameters[parameter];

	if (!text)
		return false;
	return text[0] == (value ? 'Y' : 'N') || text[0] == (value ? '1' : '0');
}

uint32_t host_info_registers(const HostInfo *info)
{
	uint32_t registers = info->guest_ssp ? 1u << CET_GUEST_SSP : 0;

	for (unsigned i = 0; i < CET_N_REGS; i++)
		for (unsigned j = 0; j < info->n_msrs; j++)
			if (cet_registers[i].msr && cet_registers[i].msr == info->msrs[j])
				registers |= 1u << i;
	return registers;
}

bool host_info_has_cet(const HostInfo *info)
{
	return info->access == HOST_KVM_USABLE && info->cet.features & CET_FEATURE_SHSTK &&
	       info->guest_ssp;
}
