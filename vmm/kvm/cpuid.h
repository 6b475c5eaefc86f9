// SPDX-License-Identifier: MIT
/*
 * What a guest's CPUID says: KVM's supported leaves, completed with what only
 * the VMM knows (who am I, how many are we) and with features that KVM serves
 * but does not list.
 */
#ifndef UMBRA_KVM_CPUID_H
#define UMBRA_KVM_CPUID_H

#include "kvm/kvm.h"

/*
 * The part that is the same for all vCPUs of a machine with `cpus` processors:
 * one package, one thread per core (SDM 2A, CPUID leaves 1, 4, 0BH, 1FH; APM 3,
 * Fn8000_0008 and Fn8000_001E), and TSC deadline, which KVM reports as a capability.
 * May grow the list: returns the new one and takes the old.
 */
struct kvm_cpuid2 *cpuid_for_machine(struct kvm_cpuid2 *supported, const KvmSystem *system,
				     unsigned cpus);

/* The part that differs: the APIC id. In place; call it anew for each vCPU. */
void cpuid_for_vcpu(struct kvm_cpuid2 *cpuid, unsigned apic_id);

#endif
