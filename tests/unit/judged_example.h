// SPDX-License-Identifier: MIT
/*
 * A stopped machine with two vCPUs, one of them in a program with a shadow stack, and
 * an Intel host that fits it in everything: the tests' example.
 */
#ifndef UMBRA_TESTS_JUDGED_EXAMPLE_H
#define UMBRA_TESTS_JUDGED_EXAMPLE_H

#include "state/host_info.h"
#include "state/machine_state.h"
#include "umbra/cet.h"

#include <string.h>

#define EXAMPLE_XCR0 0xe7ULL /* x87, SSE, AVX, AVX-512 */

static const struct kvm_cpuid_entry2 example_leaves[] = {
	/* "GenuineIntel" */
	{.function = 0x0, .eax = 0x24, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69},
	{.function = 0x1, .eax = 0xc06f2, .ebx = 0x20800, .ecx = 0xf7fa3203, .edx = 0x1f8bfbff},
	{.function = 0x7,
	 .flags = 1,
	 .eax = 2,
	 .ebx = 0xf1bf27eb,
	 .ecx = 0x1b405fee,
	 .edx = 0xbdd14412},
	{.function = 0x7, .index = 1, .flags = 1, .eax = 0x201c30, .edx = 0x4000},
	{.function = 0x7, .index = 2, .flags = 1, .edx = 0x1f},
	{.function = 0xa, .eax = 0x7300802, .edx = 0x603},
	{.function = 0xd, .flags = 1, .eax = 0xe7, .ebx = 0xa80, .ecx = 0xa80},
	{.function = 0xd, .index = 1, .flags = 1, .eax = 0x1f, .ebx = 0x988, .ecx = 0x1800},
	{.function = 0xd, .index = 2, .flags = 1, .eax = 0x100, .ebx = 0x240},
	{.function = 0xd, .index = 5, .flags = 1, .eax = 0x40, .ebx = 0x440},
	{.function = 0xd, .index = 6, .flags = 1, .eax = 0x200, .ebx = 0x480},
	{.function = 0xd, .index = 7, .flags = 1, .eax = 0x400, .ebx = 0x680},
	{.function = 0xd, .index = 11, .flags = 1, .eax = 0x10, .ecx = 1},
	{.function = 0xd, .index = 12, .flags = 1, .eax = 0x18, .ecx = 1},
	{.function = 0x80000001, .ecx = 0x121, .edx = 0x2c100800},
	{.function = 0x80000008, .eax = 0x302e, .ebx = 0x200},
	{.function = 0x40000001, .eax = 0x1007efb},
};

static inline struct kvm_cpuid2 *example_cpuid(void)
{
	struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + sizeof(example_leaves));

	cpuid->nent = G_N_ELEMENTS(example_leaves);
	memcpy(cpuid->entries, example_leaves, sizeof(example_leaves));
	return cpuid;
}

static inline struct kvm_cpuid_entry2 *example_leaf(struct kvm_cpuid2 *cpuid, uint32_t function,
						    uint32_t index)
{
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	g_error("the example has no leaf %x.%u", function, index);
}

static inline void example_set_capability(HostInfo *host, int number, int value)
{
	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		if (host_capabilities[i].number == number)
			host->capabilities[i] = value;
}

static inline void example_host(HostInfo *host)
{
	static const uint32_t msrs[] = {0x10,	    0x174,	0x175,	    0x176,	0x277,
					0x6a0,	    0x6a2,	0x6a4,	    0x6a5,	0x6a6,
					0x6a7,	    0x6a8,	0xda0,	    0x1a0,	0x4b564d01,
					0xc0000081, 0xc0000082, 0xc0000083, 0xc0000102, 0xc0000103};

	*host = (HostInfo){
		.access = HOST_KVM_USABLE,
		.path = g_strdup("/dev/kvm"),
		.kernel = g_strdup("7.3.4+deb13-cloud-amd64"),
		.cpu = {.vendor = "GenuineIntel", .shstk = true, .ibt = true, .xstates = true},
		.backend = "kvm_intel",
		.api_version = 12,
		.cpuid = example_cpuid(),
		.xcr0 = EXAMPLE_XCR0,
		.tsc_khz = 2400000,
		.msrs = g_memdup2(msrs, sizeof(msrs)),
		.n_msrs = G_N_ELEMENTS(msrs),
		.guest_ssp = true,
	};
	host->cet = cet_cpuid_features(host->cpuid);
	for (unsigned i = 0; i < HOST_N_CAPABILITIES; i++)
		host->capabilities[i] = 1;
	example_set_capability(host, KVM_CAP_MAX_VCPUS, 1024);
	example_set_capability(host, KVM_CAP_XSAVE2, 4096);
	example_set_capability(host, KVM_CAP_TSC_CONTROL, 0);
}

static inline void example_fill_vcpu(VcpuState *vcpu)
{
	static const struct kvm_msr_entry msrs[] = {
		{.index = 0x277, .data = 0x407050600070106},
		{.index = 0x175, .data = 0xfffffe0000003000},
		{.index = 0xc0000082, .data = 0xffffffff81a00000},
		{.index = 0xc0000103, .data = 1},
	};
	const uint64_t xstate_bv = 7, mxcsr = 0x1f80;

	vcpu->tsc_khz = 2400000;
	vcpu->tsc = 123456789;
	vcpu->regs.rip = 0x401234;
	vcpu->sregs.cs = (struct kvm_segment){.selector = 0x33, .l = 1, .dpl = 3, .present = 1};
	vcpu->sregs.ss = (struct kvm_segment){.selector = 0x2b, .dpl = 3, .present = 1};
	vcpu->sregs.cr0 = 0x80050033;
	vcpu->sregs.cr3 = 0x1234000;
	vcpu->sregs.cr4 = 0x8006f0;
	vcpu->sregs.efer = 0xd01;
	g_byte_array_set_size(vcpu->xsave, 4096);
	memset(vcpu->xsave->data, 0, 4096);
	memcpy(vcpu->xsave->data + 24, &mxcsr, 4);
	memcpy(vcpu->xsave->data + 512, &xstate_bv, 8);
	vcpu->xcrs.nr_xcrs = 1;
	vcpu->xcrs.xcrs[0].value = EXAMPLE_XCR0;
	vcpu->debugregs.dr6 = 0xffff0ff0;
	vcpu->debugregs.dr7 = 0x400;
	g_array_append_vals(vcpu->msrs, msrs, G_N_ELEMENTS(msrs));
	vcpu->cet = (CetState){
		.has = (1u << CET_N_REGS) - 1 + CET_HAS_XSS,
		.value = {[CET_U_CET] = 1,
			  [CET_S_CET] = 4,
			  [CET_PL3_SSP] = 0x7fff00001000,
			  [CET_GUEST_SSP] = 0x7fff00000ff0},
		.xss = CET_XSS_USER,
	};
}

static inline MachineState *example_state(void)
{
	MachineState *state = machine_state_create();

	state->memory = 256 << 20;
	state->cpuid = example_cpuid();
	state->kernel = g_strdup("7.3.4+deb13-cloud-amd64");
	state->host = cet_cpuid_features(state->cpuid);
	for (unsigned i = 0; i < 2; i++)
		example_fill_vcpu(machine_state_add_vcpu(state));
	machine_state_add_device(state, device_kind_find("ioapic"));
	machine_state_add_device(state, device_kind_find("serial"));
	machine_state_add_device(state, device_kind_find("power"));
	return state;
}

#endif
