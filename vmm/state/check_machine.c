// SPDX-License-Identifier: MIT
/* What a whole machine needs of a host: ioctls, processors, addresses, the pace of time. */
#include "state/check_internal.h"

#include "base/layout.h"
#include "state/cpu_features.h"
#include "umbra/cet.h"

typedef struct Need {
	int capability;
	uint64_t (*amount)(const MachineState *state); /* what KVM must answer at least */
	const char *why;
} Need;

/* What a restore uses whatever the state holds. */
static uint64_t always(const MachineState *state)
{
	(void)state;
	return 1;
}

static uint64_t if_shadow_stacks(const MachineState *state)
{
	return cet_cpuid_features(state->cpuid).features & CET_FEATURE_SHSTK ? 1 : 0;
}

static uint64_t if_any(const MachineState *state, bool (*holds)(const VcpuState *vcpu))
{
	for (unsigned i = 0; i < state->vcpus->len; i++)
		if (holds(state->vcpus->pdata[i]))
			return 1;
	return 0;
}

static bool has_xcrs(const VcpuState *vcpu)
{
	return vcpu->xcrs.nr_xcrs > 0;
}

static bool has_payload(const VcpuState *vcpu)
{
	return vcpu->events.exception_has_payload;
}

static bool has_triple_fault(const VcpuState *vcpu)
{
	return vcpu->events.triple_fault.pending;
}

static bool has_smm(const VcpuState *vcpu)
{
	return vcpu->events.smi.smm || vcpu->events.smi.pending;
}

static uint64_t if_xcrs(const MachineState *state)
{
	return if_any(state, has_xcrs);
}

static uint64_t if_payload(const MachineState *state)
{
	return if_any(state, has_payload);
}

static uint64_t if_triple_fault(const MachineState *state)
{
	return if_any(state, has_triple_fault);
}

static uint64_t if_smm(const MachineState *state)
{
	return if_any(state, has_smm);
}

/* KVM_SET_XSAVE alone takes 4096 bytes; the capability's value is how many it takes here. */
static uint64_t if_large_xsave(const MachineState *state)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < state->vcpus->len; i++)
		most = MAX(most, ((const VcpuState *)state->vcpus->pdata[i])->xsave->len);
	return most > sizeof(struct kvm_xsave) ? most : 0;
}

static uint64_t vcpu_count(const MachineState *state)
{
	return state->vcpus->len;
}

static const Need needs[] = {
	{KVM_CAP_ONE_REG, if_shadow_stacks,
	 "guest_ssp, the current shadow stack pointer, travels by it"},
	{KVM_CAP_MAX_VCPUS, vcpu_count, "is how many vCPUs a machine may have here"},
	{KVM_CAP_MP_STATE, always, "what each vCPU waits for is loaded by it"},
	{KVM_CAP_SREGS2, always, "control registers and segments are loaded by it"},
	{KVM_CAP_XSAVE, always, "the vector registers are loaded by it"},
	{KVM_CAP_XSAVE2, if_large_xsave, "is how many bytes of vector registers KVM takes here"},
	{KVM_CAP_XCRS, if_xcrs, "XCR0 is loaded by it"},
	{KVM_CAP_DEBUGREGS, always, "the debug registers are loaded by it"},
	{KVM_CAP_VCPU_EVENTS, always, "pending exceptions and interrupts are loaded by it"},
	{KVM_CAP_EXCEPTION_PAYLOAD, if_payload, "a pending exception has a payload"},
	{KVM_CAP_X86_TRIPLE_FAULT_EVENT, if_triple_fault, "a triple fault is pending"},
	{KVM_CAP_X86_SMM, if_smm, "a vCPU is in system management mode, or about to enter it"},
	{KVM_CAP_ADJUST_CLOCK, always, "the guest's clock is loaded by it"},
	{KVM_CAP_SPLIT_IRQCHIP, always, "the interrupt controllers are made so"},
};

static const char *capability_name(int number)
{
	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		if (host_capabilities[i].number == number)
			return host_capabilities[i].name;
	return "unknown";
}

static void check_capabilities(Check *check)
{
	for (size_t i = 0; i < G_N_ELEMENTS(needs); i++) {
		uint64_t needed = needs[i].amount(check->state);
		int there = MAX(host_info_capability(check->host, needs[i].capability), 0);

		if (needed <= (uint64_t)there)
			continue;
		g_autofree char *what =
			g_strdup_printf("capability %s", capability_name(needs[i].capability));
		const Finding finding = {
			.vcpu = CHECK_MACHINE,
			.value = (uint64_t)there,
			.kvm = REG_REFUSES,
			.remedy = "choose a destination with a kernel that has it",
		};

		if (needed > 1)
			check_addf(check, &finding, what,
				   "%s, and the state has %" G_GUINT64_FORMAT, needs[i].why,
				   needed);
		else
			check_add(check, &finding, what, needs[i].why);
	}
}

/* KVM may show SHSTK, and yet not name the register (UAPI: KVM_GET_REG_LIST). */
static void check_guest_ssp(Check *check)
{
	if (!if_shadow_stacks(check->state) || !(check->host->cet.features & CET_FEATURE_SHSTK) ||
	    check->host->guest_ssp || host_info_capability(check->host, KVM_CAP_ONE_REG) <= 0)
		return;
	check_add(
		check,
		&(Finding){.vcpu = CHECK_MACHINE,
			   .kvm = REG_REFUSES,
			   .remedy =
				   "choose a destination whose KVM serves it (`umbra host` tells)"},
		cet_registers[CET_GUEST_SSP].name,
		"this host's KVM offers shadow stacks, but cannot load the current shadow stack "
		"pointer");
}

static void check_memory(Check *check)
{
	static const CpuidWord sizes = {0x80000008, 0, CPUID_EAX};
	uint64_t size = check->state->memory;
	uint64_t end = size > LAYOUT_HOLE_START ? size - LAYOUT_HOLE_START + LAYOUT_HOLE_END : size;
	unsigned bits = cpuid_word(check->host->cpuid, &sizes) & 0xff;

	bits = bits ? bits : 36; /* SDM 3A, 4.1.4 */
	if (bits >= 63 || end <= 1ULL << bits)
		return;
	check_addf(check,
		   &(Finding){.vcpu = CHECK_MACHINE,
			      .value = size,
			      .kvm = REG_ACCEPTS,
			      .remedy = "choose a destination whose CPU has wider addresses"},
		   "memory", "RAM ends beyond the %u-bit physical addresses of this host's CPU",
		   bits);
}

void check_machine(Check *check)
{
	check_capabilities(check);
	check_guest_ssp(check);
	check_memory(check);
}

/*
 * KVM takes a frequency within 250 ppm of the host's for the same, and scales others if
 * the CPU can. If not, it makes a guest that wants more catch up by jumps, and refuses one
 * that wants less (arch/x86/kvm/x86.c, kvm_set_tsc_khz() and set_tsc_khz()).
 */
#define TOLERANCE_PPM 250

void check_tsc(Check *check, const VcpuState *vcpu)
{
	uint64_t wanted = vcpu->tsc_khz, here = check->host->tsc_khz;
	uint64_t apart = wanted > here ? wanted - here : here - wanted;

	if (!wanted || !here || apart * 1000000 <= here * TOLERANCE_PPM ||
	    host_info_capability(check->host, KVM_CAP_TSC_CONTROL) > 0)
		return;
	check_addf(
		check,
		&(Finding){
			.vcpu = (int)vcpu->id,
			.value = wanted,
			.kvm = wanted > here ? REG_ACCEPTS : REG_REFUSES,
			.remedy = "choose a destination with this frequency, or one that scales it "
				  "(KVM_CAP_TSC_CONTROL)"},
		"tsc_khz",
		"the guest's TSC runs at %" G_GUINT64_FORMAT
		" kHz and this host's at %" G_GUINT64_FORMAT " kHz, which its CPU cannot scale",
		wanted, here);
}
