// SPDX-License-Identifier: MIT
/* Names of model-specific registers: SDM 4 in lower case without IA32_; KVM's own, api/msr.rst. */
#include "state/machine_state.h"

#include <string.h>

static const struct {
	uint32_t index;
	const char *name;
} names[] = {
	{0x10, "tsc"},
	{0x1b, "apic-base"},
	{0x34, "smi-count"},
	{0x3a, "feature-control"},
	{0x3b, "tsc-adjust"},
	{0x48, "spec-ctrl"},
	{0x8b, "ucode-rev"},
	{0x9e, "smbase"},
	{0xe1, "umwait-control"},
	{0xfe, "mtrr-cap"},
	{0x10a, "arch-capabilities"},
	{0x10f, "tsx-force-abort"},
	{0x122, "tsx-ctrl"},
	{0x140, "misc-features"},
	{0x174, "sysenter-cs"},
	{0x175, "sysenter-esp"},
	{0x176, "sysenter-eip"},
	{0x179, "mcg-cap"},
	{0x17a, "mcg-status"},
	{0x17b, "mcg-ctl"},
	{0x1a0, "misc-enable"},
	{0x1c4, "xfd"},
	{0x1c5, "xfd-err"},
	{0x1d9, "debugctl"},
	{0x277, "pat"},
	{0x2ff, "mtrr-def-type"},
	{0x345, "perf-capabilities"},
	{0x38d, "fixed-counter-ctrl"},
	{0x38e, "perf-global-status"},
	{0x38f, "perf-global-ctrl"},
	{0x390, "perf-global-ovf-ctrl"},
	{0x4d0, "mcg-ext-ctl"},
	{0x6e0, "tsc-deadline"},
	{0xce, "platform-info"},
	{0xd90, "bndcfgs"},
	{0xda0, "xss"},
	{0x4b564d00, "kvm-wall-clock-new"},
	{0x4b564d01, "kvm-system-time-new"},
	{0x4b564d02, "kvm-async-pf-en"},
	{0x4b564d03, "kvm-steal-time"},
	{0x4b564d04, "kvm-pv-eoi-en"},
	{0x4b564d05, "kvm-poll-control"},
	{0x4b564d06, "kvm-async-pf-int"},
	{0x4b564d07, "kvm-async-pf-ack"},
	{0x4b564d08, "kvm-migration-control"},
	{0x11, "kvm-wall-clock"},
	{0x12, "kvm-system-time"},
	{0xc0000080, "efer"},
	{0xc0000081, "star"},
	{0xc0000082, "lstar"},
	{0xc0000083, "cstar"},
	{0xc0000084, "syscall-mask"},
	{0xc0000100, "fs-base"},
	{0xc0000101, "gs-base"},
	{0xc0000102, "kernel-gs-base"},
	{0xc0000103, "tsc-aux"},
	{0xc0000104, "tsc-ratio"},
	{0xc0010015, "hwcr"},
	{0xc0010117, "vm-hsave-pa"},
	{0xc001011f, "virt-spec-ctrl"},
};

const char *msr_name(uint32_t index)
{
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (names[i].index == index)
			return names[i].name;
	return NULL;
}

bool msr_find(const char *name, uint32_t *ret_index)
{
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (strcmp(names[i].name, name) == 0) {
			*ret_index = names[i].index;
			return true;
		}
	return false;
}
