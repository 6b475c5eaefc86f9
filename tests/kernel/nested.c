// SPDX-License-Identifier: MIT
/*
 * cet_nested: that no L2 ever sees L1's CET state, because of the two only one can be had.
 * Where guests may run guests of their own (kvm_intel.nested=Y), no guest has CET and none
 * is offered the VMCS fields that hold it; where they have CET, none has VMX. Both also
 * for userspace that gives a guest CPUID bits which KVM did not offer.
 */
#include "box.h"

#include "umbra/one_reg.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define CR4_VMXE	   (1ULL << 13)
#define MSR_VMX_BASIC	   0x480
#define MSR_VMX_EXIT	   0x483
#define MSR_VMX_ENTRY	   0x484
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_TRUE_EXIT  0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

/* SDM 3, appendix A: the high half of a control MSR says what may be 1. */
#define MAY_LOAD_CET_AT_EXIT  (1ULL << (32 + 28))
#define MAY_LOAD_CET_AT_ENTRY (1ULL << (32 + 20))

/* mov %cr4, %rax; bts $N, %rax; mov %rax, %cr4; out %al, $0x10 */
static const uint8_t set_cr4_cet[] = {0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xe8,
				      23,   0x0f, 0x22, 0xe0, 0xe6, 0x10};
static const uint8_t set_cr4_vmxe[] = {0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xe8,
				       13,   0x0f, 0x22, 0xe0, 0xe6, 0x10};
/* vmxon BOX_IN; out %al, $0x10 */
static const uint8_t vmxon[] = {0xf3, 0x0f, 0xc7, 0x34, 0x25, 0x00, 0x90, 0x00, 0x00, 0xe6, 0x10};
/* xor %eax, %eax; out %al, $0x10: that a guest like these runs at all */
static const uint8_t only_out[] = {0x31, 0xc0, 0xe6, 0x10};

static struct kvm_cpuid_entry2 *leaf(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	errx(2, "no CPUID leaf %#x.%u", function, index);
}

/* A guest whose CPUID has both, whatever KVM offers. */
static void open_claiming_both(Box *box)
{
	struct kvm_cpuid2 *cpuid = box_cpuid(BOX_ALL);

	leaf(cpuid, 1, 0)->ecx |= 1u << 5;
	leaf(cpuid, 7, 0)->ecx |= 1u << 7;
	leaf(cpuid, 7, 0)->edx |= 1u << 20;
	leaf(cpuid, 0xd, 1)->ecx |= 0x1800;
	box_open_without_cpuid(box);
	if (ioctl(box->vcpu, KVM_SET_CPUID2, cpuid))
		err(2, "KVM_SET_CPUID2");
	free(cpuid);
}

static uint32_t exit_of(const uint8_t *code, size_t size)
{
	uint32_t reason;
	Box box;

	open_claiming_both(&box);
	box_enter_long_mode(&box, false);
	box_put(&box, BOX_CODE, code, size);
	reason = box_run(&box);
	box_close(&box);
	return reason;
}
#define EXIT_OF(code) exit_of(code, sizeof(code))

static bool nested(void)
{
	FILE *file = fopen("/sys/module/kvm_intel/parameters/nested", "r");
	int first = file ? fgetc(file) : EOF;

	if (first != 'Y' && first != 'N')
		errx(2, "no parameter kvm_intel.nested");
	fclose(file);
	return first == 'Y';
}

static void test_offer(bool vmx)
{
	struct kvm_cpuid2 *cpuid = box_cpuid(BOX_ALL);
	bool cet = leaf(cpuid, 7, 0)->ecx & 1u << 7 || leaf(cpuid, 7, 0)->edx & 1u << 20;

	tap(cet != vmx, "KVM_GET_SUPPORTED_CPUID: SHSTK and IBT %s",
	    vmx ? "are not there" : "are there");
	tap((leaf(cpuid, 0xd, 1)->ecx & 0x1800) == (vmx ? 0 : 0x1800),
	    "KVM_GET_SUPPORTED_CPUID: their XSAVE components likewise");
	tap(!!(leaf(cpuid, 1, 0)->ecx & 1u << 5) == vmx, "KVM_GET_SUPPORTED_CPUID: VMX %s",
	    vmx ? "is there" : "is not there");
	free(cpuid);
}

/* No guest of this KVM has CET, so L1 has no state that L2 could see. */
static void test_no_cet(void)
{
	uint64_t value, n = 4;
	Box box;

	open_claiming_both(&box);
	for (uint32_t msr = MSR_U_CET; msr <= MSR_INT_SSP_TAB; msr++)
		if (msr != 0x6a1 && msr != 0x6a3)
			tap(box_set_msr(&box, msr, 0x1000) == 0 &&
				    box_get_one_reg(&box, UMBRA_ONE_REG_MSR((uint64_t)msr),
						    &value) == -EINVAL,
			    "no MSR %#x", msr);
	tap(box_get_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, &value) == -EINVAL &&
		    box_set_one_reg(&box, UMBRA_ONE_REG_GUEST_SSP, 0) == -EINVAL,
	    "no guest_ssp");
	tap(!ioctl(box.vcpu, KVM_GET_REG_LIST, &n) && n == 0, "no guest_ssp in KVM_GET_REG_LIST");
	tap(box_set_msr(&box, MSR_XSS, 0x800) == 0, "no CET in IA32_XSS");
	tap(box_set_crs(&box, 0x11 | CR0_WP, CR4_CET) == -EINVAL, "no CR4.CET from outside");
	tap(EXIT_OF(set_cr4_cet) == KVM_EXIT_SHUTDOWN, "no CR4.CET from inside");
	box_close(&box);
}

static void test_msr_lacks(Box *box, uint32_t msr, uint64_t bit, const char *what)
{
	uint64_t value;

	tap(box_get_msr(box, msr, &value) == 1 && !(value & bit), "L1 is told of no %s (%#x)", what,
	    msr);
}

/* Nor can L1 have a processor load CET state for L2: what it would need is not there. */
static void test_no_fields(void)
{
	Box box;

	open_claiming_both(&box);
	test_msr_lacks(&box, MSR_VMX_EXIT, MAY_LOAD_CET_AT_EXIT, "CET at VM exit");
	test_msr_lacks(&box, MSR_VMX_TRUE_EXIT, MAY_LOAD_CET_AT_EXIT, "CET at VM exit");
	test_msr_lacks(&box, MSR_VMX_ENTRY, MAY_LOAD_CET_AT_ENTRY, "CET at VM entry");
	test_msr_lacks(&box, MSR_VMX_TRUE_ENTRY, MAY_LOAD_CET_AT_ENTRY, "CET at VM entry");
	test_msr_lacks(&box, MSR_VMX_BASIC, 1ULL << 56, "#CP with an error code");
	test_msr_lacks(&box, MSR_VMX_CR4_FIXED1, CR4_CET, "CR4.CET in VMX operation");
	tap(EXIT_OF(set_cr4_vmxe) == KVM_EXIT_IO, "and yet it has VMX");
	box_close(&box);
}

/* No guest of this KVM has VMX, so there is no L2. */
static void test_no_vmx(void)
{
	struct {
		struct kvm_nested_state head;
		uint8_t data[8192];
	} state = {.head = {.size = sizeof(state.head), .format = KVM_STATE_NESTED_FORMAT_VMX}};
	uint64_t value;
	Box box;

	open_claiming_both(&box);
	tap(box_set_crs(&box, 0x11 | CR0_WP, CR4_VMXE) == -EINVAL, "no CR4.VMXE from outside");
	tap(EXIT_OF(set_cr4_vmxe) == KVM_EXIT_SHUTDOWN, "no CR4.VMXE from inside");
	tap(EXIT_OF(set_cr4_cet) == KVM_EXIT_IO, "though CR4.CET can be set");
	for (uint32_t msr = MSR_VMX_BASIC; msr <= MSR_VMX_TRUE_ENTRY; msr++)
		if (box_get_msr(&box, msr, &value) == 1 && value)
			tap(false, "no VMX capability MSR: %#x is %#llx", msr,
			    (unsigned long long)value);
	tap(EXIT_OF(vmxon) == KVM_EXIT_SHUTDOWN, "no VMXON");
	state.head.hdr.vmx.vmxon_pa = 0x1000;
	state.head.hdr.vmx.vmcs12_pa = ~0ULL;
	tap(ioctl(box.vcpu, KVM_SET_NESTED_STATE, &state) != 0,
	    "no state of VMX operation is taken");
	box_close(&box);
}

int main(void)
{
	bool vmx = nested();

	tap(EXIT_OF(only_out) == KVM_EXIT_IO, "a guest that is told of both runs");
	test_offer(vmx);
	if (vmx) {
		test_no_cet();
		test_no_fields();
	} else {
		test_no_vmx();
	}
	return tap_end();
}
