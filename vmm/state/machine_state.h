// SPDX-License-Identifier: MIT
/*
 * A stopped machine, all but its RAM, as plain data: filled from a machine or
 * from a file, judged by check.h, written into a file or stream, loaded into
 * another machine. Who describes what a structure consists of is fields.h.
 */
#ifndef UMBRA_STATE_MACHINE_STATE_H
#define UMBRA_STATE_MACHINE_STATE_H

#include "state/device_state.h"
#include "state/fields.h"
#include "umbra/cet.h"

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>

/* A virtual CPU, its parts in the order in which they are read and loaded. */
typedef struct VcpuState {
	uint32_t id;
	uint32_t tsc_khz;
	uint64_t tsc; /* the guest's, at the moment of MachineState.clock; ticks */
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	GByteArray *xsave; /* as KVM_GET_XSAVE2 gives it; never holds CET (UAPI) */
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	GArray *msrs; /* of struct kvm_msr_entry: all that KVM lists but the TSC and CET's */
	CetState cet;
	struct kvm_vcpu_events events;
} VcpuState;

typedef struct MachineState {
	uint64_t memory;	     /* bytes of RAM */
	struct kvm_cpuid2 *cpuid;    /* as all vCPUs have it, but for their own ids */
	struct kvm_clock_data clock; /* KVM_GET_CLOCK: ns, with KVM_CLOCK_* in flags */
	char *kernel;		     /* of the host it was taken on, for people */
	CetCpu host;		     /* that host, as cet_check() needs it */
	GPtrArray *vcpus;	     /* of VcpuState, ids 0 … n-1 */
	GPtrArray *devices;	     /* of DeviceState */
} MachineState;

/* Empty: no vCPU, no device. */
MachineState *machine_state_create(void);
void machine_state_destroy(MachineState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MachineState, machine_state_destroy)

/* Appends a vCPU with the next id; all of it zero, arrays empty. */
VcpuState *machine_state_add_vcpu(MachineState *state);
/* Appends a device of `kind`; its data is zero. */
DeviceState *machine_state_add_device(MachineState *state, const DeviceKind *kind);
const DeviceState *machine_state_find_device(const MachineState *state, const char *kind);

/* The descriptions. A vCPU's fields stand in the order of the restore. */
extern const StateGroup vcpu_state_group;
extern const StateGroup machine_state_group; /* without vCPUs and devices */

/* "lstar", or NULL for one that has no name here; and the index of a name. */
const char *msr_name(uint32_t index);
bool msr_find(const char *name, uint32_t *ret_index);

#endif
