// SPDX-License-Identifier: MIT
/*
 * Control and debug registers, and what a vCPU waits for: KVM's rules for KVM_SET_SREGS2,
 * KVM_SET_DEBUGREGS, KVM_SET_MP_STATE and KVM_SET_VCPU_EVENTS (arch/x86/kvm/x86.c).
 */
#include "state/check_internal.h"

#include "state/cpu_features.h"
#include "umbra/cet.h"

#define CR0_PE	       (1ULL << 0)
#define CR0_NW	       (1ULL << 29)
#define CR0_CD	       (1ULL << 30)
#define CR0_PG	       (1ULL << 31)
#define CR4_PAE	       (1ULL << 5)
#define CR4_CET	       (1ULL << 23)
#define EFER_LME       (1ULL << 8)
#define EFER_LMA       (1ULL << 10)
#define UPPER_HALF     (~0ULL << 32)
#define VECTOR_NMI     2
#define VECTOR_LAST    31 /* of exceptions */
#define MP_STATE_LAST  KVM_MP_STATE_SIPI_RECEIVED
#define MP_STATE_RESET 9 /* KVM_MP_STATE_AP_RESET_HOLD */

static void damaged(Check *check, const VcpuState *vcpu, const char *what, uint64_t value,
		    uint64_t bits, const char *rule)
{
	check_add(check,
		  &(Finding){.vcpu = (int)vcpu->id,
			     .value = value,
			     .bits = bits,
			     .kvm = REG_REFUSES,
			     .remedy = check_remedy_damaged},
		  what, rule);
}

/* Bits of CR4 that need a feature (SDM 3A, 2.5). CR4.CET is cet_check()'s. */
static const struct {
	unsigned bit;
	CpuidWord at;
	unsigned feature;
	const char *name;
} cr4_features[] = {
	{7, {0x1, 0, CPUID_EDX}, 13, "PGE"},	  {11, {0x7, 0, CPUID_ECX}, 2, "UMIP"},
	{12, {0x7, 0, CPUID_ECX}, 16, "LA57"},	  {13, {0x1, 0, CPUID_ECX}, 5, "VMXE"},
	{14, {0x1, 0, CPUID_ECX}, 6, "SMXE"},	  {16, {0x7, 0, CPUID_EBX}, 0, "FSGSBASE"},
	{17, {0x1, 0, CPUID_ECX}, 17, "PCIDE"},	  {18, {0x1, 0, CPUID_ECX}, 26, "OSXSAVE"},
	{20, {0x7, 0, CPUID_EBX}, 7, "SMEP"},	  {21, {0x7, 0, CPUID_EBX}, 20, "SMAP"},
	{22, {0x7, 0, CPUID_ECX}, 3, "PKE"},	  {24, {0x7, 0, CPUID_ECX}, 31, "PKS"},
	{28, {0x7, 1, CPUID_EAX}, 26, "LAM_SUP"}, {32, {0x7, 1, CPUID_EAX}, 17, "FRED"},
};
/* These are there on every 64-bit CPU. */
#define CR4_PLAIN 0x77fULL

static void check_cr4(Check *check, const VcpuState *vcpu)
{
	uint64_t cr4 = vcpu->sregs.cr4, known = CR4_PLAIN | CR4_CET;

	for (size_t i = 0; i < G_N_ELEMENTS(cr4_features); i++) {
		const CpuidWord *at = &cr4_features[i].at;
		uint64_t bit = 1ULL << cr4_features[i].bit;
		uint32_t both =
			cpuid_word(check->state->cpuid, at) & cpuid_word(check->host->cpuid, at);

		known |= bit;
		if (!(cr4 & bit) || both >> cr4_features[i].feature & 1)
			continue;
		check_addf(check,
			   &(Finding){.vcpu = (int)vcpu->id,
				      .value = cr4,
				      .bits = bit,
				      .kvm = REG_REFUSES,
				      .remedy = check_remedy_choose},
			   "cr4", "(%s) is set, and this guest's CPUID or this host's KVM lacks it",
			   cr4_features[i].name);
	}
	if (cr4 & ~known)
		damaged(check, vcpu, "cr4", cr4, cr4 & ~known, "are reserved");
}

/* KVM: kvm_is_valid_cr0() and kvm_is_valid_sregs(). */
static void check_modes(Check *check, const VcpuState *vcpu)
{
	uint64_t cr0 = vcpu->sregs.cr0, cr4 = vcpu->sregs.cr4, efer = vcpu->sregs.efer;
	bool long_mode = efer & EFER_LME && cr0 & CR0_PG;

	if (cr0 & UPPER_HALF)
		damaged(check, vcpu, "cr0", cr0, cr0 & UPPER_HALF, "are reserved");
	if (cr0 & CR0_PG && !(cr0 & CR0_PE))
		damaged(check, vcpu, "cr0", cr0, CR0_PG, "(PG) needs PE, which is clear");
	if (cr0 & CR0_NW && !(cr0 & CR0_CD))
		damaged(check, vcpu, "cr0", cr0, CR0_NW, "(NW) needs CD, which is clear");
	if (long_mode && !(cr4 & CR4_PAE))
		damaged(check, vcpu, "cr4", cr4, CR4_PAE, "(PAE) must be set in long mode");
	if (long_mode != !!(efer & EFER_LMA))
		damaged(check, vcpu, "efer", efer, EFER_LMA,
			"(LMA) must be LME with CR0.PG, and is not");
	if (!long_mode && vcpu->sregs.cs.l)
		damaged(check, vcpu, "cs", vcpu->sregs.cs.selector, 0,
			"the code segment is a 64-bit one outside of long mode");
}

static void check_debug(Check *check, const VcpuState *vcpu)
{
	const struct kvm_debugregs *debug = &vcpu->debugregs;

	if (debug->dr6 & UPPER_HALF)
		damaged(check, vcpu, "dr6", debug->dr6, debug->dr6 & UPPER_HALF, "are reserved");
	if (debug->dr7 & UPPER_HALF)
		damaged(check, vcpu, "dr7", debug->dr7, debug->dr7 & UPPER_HALF, "are reserved");
	if (debug->flags)
		damaged(check, vcpu, "debugregs flags", debug->flags, debug->flags,
			"are flags that KVM does not know");
}

static void check_waiting(Check *check, const VcpuState *vcpu)
{
	const struct kvm_vcpu_events *events = &vcpu->events;
	uint32_t state = vcpu->mp_state.mp_state;
	bool exception = events->exception.injected || events->exception.pending;

	if (state > MP_STATE_LAST && state != MP_STATE_RESET)
		damaged(check, vcpu, "mp_state", state, 0, "is no state that a vCPU can be in");
	if (exception && (events->exception.nr > VECTOR_LAST || events->exception.nr == VECTOR_NMI))
		damaged(check, vcpu, "exception number", events->exception.nr, 0,
			"is no exception that can be pending");
}

void check_registers(Check *check, const VcpuState *vcpu)
{
	check_waiting(check, vcpu);
	check_modes(check, vcpu);
	check_cr4(check, vcpu);
	check_debug(check, vcpu);
}
