// SPDX-License-Identifier: MIT
/*
 * What a vCPU's state consists of as KVM takes it: the ordered table of stages, each
 * with its save and its load on one row. machine_save() and machine_load() walk it
 * from the top, for each vCPU; a machine's CPUID comes before all of it, when the vCPU is
 * made.
 */
#ifndef UMBRA_MACHINE_STAGES_H
#define UMBRA_MACHINE_STAGES_H

#include "kvm/kvm.h"
#include "machine/clock.h"
#include "state/machine_state.h"

/* What the stages of all vCPUs of one save, load or reading back share. */
typedef struct Transfer {
	const KvmSystem *system;
	ClockMoment moment;
	GArray *msrs;		 /* of uint32_t: KVM_GET_MSR_INDEX_LIST */
	bool vmx;		 /* the guest was shown VMX */
	uint32_t cet;		 /* the CET registers that this guest has, as CetState.has */
	CetJudge judge;		 /* of values to load */
	size_t xsave_size;	 /* bytes */
	uint32_t event_flags;	 /* KVM_VCPUEVENT_VALID_* that KVM understands here */
	const VcpuState *loaded; /* what was loaded, while it is read back; else NULL */
} Transfer;

typedef struct VcpuStage {
	const char *name; /* of its field in vcpu_state_group */
	bool (*save)(Transfer *transfer, KvmVcpu *vcpu, VcpuState *ret_state, GError **error);
	bool (*load)(Transfer *transfer, KvmVcpu *vcpu, const VcpuState *state, GError **error);
	/*
	 * Where reading back may rightly give something else than was loaded: makes `found`
	 * equal there. NULL: nowhere, but for what the description says moves by itself.
	 */
	void (*settle)(const VcpuState *loaded, VcpuState *found);
} VcpuStage;

#define VCPU_N_STAGES 12
extern const VcpuStage vcpu_stages[VCPU_N_STAGES];

/* stage_msrs.c: the rows "msrs"; and why an MSR that KVM lists is not among them, or NULL. */
bool stage_msrs_save(Transfer *transfer, KvmVcpu *vcpu, VcpuState *ret_state, GError **error);
bool stage_msrs_load(Transfer *transfer, KvmVcpu *vcpu, const VcpuState *state, GError **error);
void stage_msrs_settle(const VcpuState *loaded, VcpuState *found);
const char *stage_msrs_left_out(uint32_t index);

#endif
