// SPDX-License-Identifier: MIT
/*
 * A guest's clocks: kvmclock, which is one for the machine, and each vCPU's TSC. Both
 * are taken at one moment and set going again from one moment, so that they keep step with
 * each other, and the vCPUs' TSCs with each other.
 */
#ifndef UMBRA_MACHINE_CLOCK_H
#define UMBRA_MACHINE_CLOCK_H

#include "kvm/kvm.h"
#include "state/machine_state.h"

/* What becomes of the time between save and load. */
typedef enum MachineClock {
	MACHINE_CLOCK_STANDS,  /* it does not pass for the guest: a file */
	MACHINE_CLOCK_GOES_ON, /* it passes, by the hosts' real time: a migration */
} MachineClock;

/* One moment, on the host's clock and on the guest's. */
typedef struct ClockMoment {
	uint64_t ns;	     /* kvmclock */
	uint64_t host_tsc;   /* the host's TSC, ticks */
	uint64_t elapsed_ns; /* of kvmclock, since the state was saved */
	uint32_t host_khz;   /* of the host's TSC */
	bool has_scaled;
	uint64_t scaled_tsc; /* host_tsc at the guest's frequency, where that is another */
} ClockMoment;

/* KVM_GET_CLOCK; real time is filled in where KVM does not tell it. */
bool clock_save(const KvmVm *vm, uint32_t host_khz, struct kvm_clock_data *ret_clock,
		ClockMoment *ret_moment, GError **error);

/* KVM_SET_CLOCK, and then the moment to which the TSCs are set. */
bool clock_load(KvmVm *vm, uint32_t host_khz, const struct kvm_clock_data *clock, MachineClock mode,
		ClockMoment *ret_moment, GError **error);

/* A vCPU's TSC at the moment; needs its tsc_khz. */
bool clock_save_tsc(ClockMoment *moment, const KvmVcpu *vcpu, VcpuState *state, GError **error);
bool clock_load_tsc(ClockMoment *moment, KvmVcpu *vcpu, const VcpuState *state, GError **error);

/* UMBRA_ERROR_INCOMPATIBLE: the TSC cannot run at the guest's frequency here. */
bool clock_load_tsc_khz(const KvmSystem *system, uint32_t host_khz, KvmVcpu *vcpu, uint32_t khz,
			GError **error);

#endif
