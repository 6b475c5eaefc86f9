// SPDX-License-Identifier: MIT
/*
 * The ioctls by which a machine's state is read and written, thin as those of kvm.h
 * (Documentation/virt/kvm/api.rst). No vCPU runs meanwhile.
 */
#ifndef UMBRA_KVM_KVM_STATE_H
#define UMBRA_KVM_KVM_STATE_H

#include "kvm/kvm.h"

/* KVM_GET_MSR_INDEX_LIST: of uint32_t, in KVM's order. */
GArray *kvm_system_msr_list(const KvmSystem *system, GError **error);

/* Bytes of a vCPU's XSAVE area: KVM_CAP_XSAVE2, and never less than 4096. */
size_t kvm_system_xsave_size(const KvmSystem *system);

/*
 * KVM_CAP_EXCEPTION_PAYLOAD and KVM_CAP_X86_TRIPLE_FAULT_EVENT, where KVM has them: without
 * them it tells of a pending exception as if it were delivered, and of a pending
 * triple fault not at all.
 */
bool kvm_vm_report_all_events(KvmVm *vm, GError **error);

/* KVM_GET_CLOCK, KVM_SET_CLOCK. */
bool kvm_vm_get_clock(const KvmVm *vm, struct kvm_clock_data *ret_clock, GError **error);
bool kvm_vm_set_clock(KvmVm *vm, const struct kvm_clock_data *clock, GError **error);

bool kvm_vcpu_get_mp_state(const KvmVcpu *vcpu, struct kvm_mp_state *ret_state, GError **error);
bool kvm_vcpu_set_mp_state(KvmVcpu *vcpu, const struct kvm_mp_state *state, GError **error);
bool kvm_vcpu_get_sregs2(const KvmVcpu *vcpu, struct kvm_sregs2 *ret_sregs, GError **error);
bool kvm_vcpu_set_sregs2(KvmVcpu *vcpu, const struct kvm_sregs2 *sregs, GError **error);
bool kvm_vcpu_get_xcrs(const KvmVcpu *vcpu, struct kvm_xcrs *ret_xcrs, GError **error);
bool kvm_vcpu_set_xcrs(KvmVcpu *vcpu, const struct kvm_xcrs *xcrs, GError **error);
bool kvm_vcpu_get_debugregs(const KvmVcpu *vcpu, struct kvm_debugregs *ret_regs, GError **error);
bool kvm_vcpu_set_debugregs(KvmVcpu *vcpu, const struct kvm_debugregs *regs, GError **error);
bool kvm_vcpu_get_lapic(const KvmVcpu *vcpu, struct kvm_lapic_state *ret_lapic, GError **error);
bool kvm_vcpu_set_lapic(KvmVcpu *vcpu, const struct kvm_lapic_state *lapic, GError **error);
bool kvm_vcpu_get_events(const KvmVcpu *vcpu, struct kvm_vcpu_events *ret_events, GError **error);
bool kvm_vcpu_set_events(KvmVcpu *vcpu, const struct kvm_vcpu_events *events, GError **error);

/*
 * KVM_GET_XSAVE2 or, where KVM lacks it, KVM_GET_XSAVE; KVM_SET_XSAVE. `area` has room
 * for kvm_system_xsave_size().
 */
bool kvm_vcpu_get_xsave(const KvmVcpu *vcpu, void *ret_area, size_t size, GError **error);
bool kvm_vcpu_set_xsave(KvmVcpu *vcpu, const void *area, GError **error);

/* KVM_GET_TSC_KHZ, KVM_SET_TSC_KHZ: kHz of the guest's TSC. */
bool kvm_vcpu_get_tsc_khz(const KvmVcpu *vcpu, uint32_t *ret_khz, GError **error);
bool kvm_vcpu_set_tsc_khz(KvmVcpu *vcpu, uint32_t khz, GError **error);

/*
 * KVM_VCPU_TSC_OFFSET (Linux 5.16): the guest's TSC is the host's, scaled, plus this.
 * KVM_HAS_DEVICE_ATTR says whether there is such a thing.
 */
bool kvm_vcpu_has_tsc_offset(const KvmVcpu *vcpu);
bool kvm_vcpu_get_tsc_offset(const KvmVcpu *vcpu, uint64_t *ret_offset, GError **error);
bool kvm_vcpu_set_tsc_offset(KvmVcpu *vcpu, uint64_t offset, GError **error);

/*
 * KVM_KVMCLOCK_CTRL: tells the guest that it stood still, so that its watchdogs take
 * no offence. False: the guest has no kvmclock, and nothing is lost.
 */
bool kvm_vcpu_tell_paused(KvmVcpu *vcpu);

/*
 * KVM_GET_NESTED_STATE: has the guest turned on virtualization of its own (VMXON, or a
 * guest within the guest)? False where KVM does not know.
 */
bool kvm_vcpu_is_nested(const KvmVcpu *vcpu);

/*
 * KVM_GET_MSRS: fills the data of entries in order, and says how many; fewer than `n`
 * means that the next one cannot be read.
 */
bool kvm_vcpu_get_msrs(const KvmVcpu *vcpu, struct kvm_msr_entry *entries, unsigned n,
		       unsigned *ret_done, GError **error);

#endif
