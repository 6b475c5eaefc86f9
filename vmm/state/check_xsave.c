// SPDX-License-Identifier: MIT
/*
 * XCR0 and the XSAVE area: KVM's rules for KVM_SET_XCRS (__kvm_set_xcr()) and
 * KVM_SET_XSAVE (fpu_copy_uabi_to_guest_fpstate(), validate_user_xstate_header()).
 */
#include "state/check_internal.h"

#include "state/cpu_features.h"

#include <string.h>

#define XCR0_X87	 1ULL
#define MXCSR_AT	 24  /* in bytes: SDM 1, 10.5.1 */
#define HEADER_AT	 512 /* XSTATE_BV, XCOMP_BV, 48 bytes that are zero: SDM 1, 13.4.2 */
#define HEADER_END	 576
#define MXCSR_BITS	 0xffffu
#define MXCSR_MISALIGNED (1u << 17) /* AMD: with CPUID 80000001 ECX[7] */

static uint64_t components(const struct kvm_cpuid2 *cpuid)
{
	return (uint64_t)cpuid_word(cpuid, &(CpuidWord){0xd, 0, CPUID_EDX}) << 32 |
	       cpuid_word(cpuid, &(CpuidWord){0xd, 0, CPUID_EAX});
}

static void refused(Check *check, const VcpuState *vcpu, const char *what, uint64_t value,
		    uint64_t bits, const char *rule, const char *remedy)
{
	check_add(check,
		  &(Finding){.vcpu = (int)vcpu->id,
			     .value = value,
			     .bits = bits,
			     .kvm = REG_REFUSES,
			     .remedy = remedy},
		  what, rule);
}

static void check_xcr0(Check *check, const VcpuState *vcpu)
{
	uint64_t xcr0 = vcpu->xcrs.xcrs[0].value;
	uint64_t beyond = xcr0 & ~(components(check->state->cpuid) & check->host->xcr0);

	if (vcpu->xcrs.nr_xcrs == 0)
		return;
	/* Without XSAVE in CPUID there is x87 all the same. */
	beyond &= ~XCR0_X87;
	if (beyond)
		refused(check, vcpu, "xcr0", xcr0, beyond,
			"are states that this guest's CPUID or this host's KVM lacks",
			check_remedy_choose);
	if (!(xcr0 & XCR0_X87))
		refused(check, vcpu, "xcr0", xcr0, XCR0_X87, "(x87) must be set",
			check_remedy_damaged);
}

static uint64_t read64(const GByteArray *bytes, size_t at)
{
	uint64_t value;

	memcpy(&value, bytes->data + at, sizeof(value));
	return value;
}

static uint32_t read32(const GByteArray *bytes, size_t at)
{
	uint32_t value;

	memcpy(&value, bytes->data + at, sizeof(value));
	return value;
}

static void check_header(Check *check, const VcpuState *vcpu)
{
	uint64_t held = read64(vcpu->xsave, HEADER_AT);
	uint64_t beyond = held & ~(check->host->xcr0 | XCR0_X87 | 2);

	if (beyond)
		refused(check, vcpu, "xsave xstate_bv", held, beyond,
			"are states that this host's KVM lacks", check_remedy_choose);
	for (size_t at = HEADER_AT + sizeof(uint64_t); at < HEADER_END; at += sizeof(uint64_t))
		if (read64(vcpu->xsave, at))
			refused(check, vcpu,
				at == HEADER_AT + 8 ? "xsave xcomp_bv" : "xsave header",
				read64(vcpu->xsave, at), read64(vcpu->xsave, at), "must be zero",
				check_remedy_damaged);
}

void check_xsave(Check *check, const VcpuState *vcpu)
{
	static const CpuidWord extended = {0x80000001, 0, CPUID_ECX};
	bool misaligned = cpuid_word(check->host->cpuid, &extended) >> 7 & 1;
	uint32_t valid = MXCSR_BITS | (misaligned ? MXCSR_MISALIGNED : 0);

	check_xcr0(check, vcpu);
	if (vcpu->xsave->len < sizeof(struct kvm_xsave)) {
		refused(check, vcpu, "xsave", vcpu->xsave->len, 0,
			"is how many bytes the state has, and KVM takes no fewer than 4096",
			check_remedy_damaged);
		return;
	}
	uint32_t mxcsr = read32(vcpu->xsave, MXCSR_AT);

	if (mxcsr & ~valid)
		refused(check, vcpu, "mxcsr", mxcsr, mxcsr & ~valid, "are reserved on this host",
			check_remedy_choose);
	check_header(check, vcpu);
}
