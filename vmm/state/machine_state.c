// SPDX-License-Identifier: MIT
#include "state/machine_state.h"

#include "state/cpu_groups.h"

#include <string.h>

static const StateField vcpu_fields[] = {
	STATE_U32(VcpuState, "id", id),
	STATE_U32(VcpuState, "tsc-khz", tsc_khz),
	STATE_MOVING(VcpuState, "tsc", tsc, FIELD_U64),
	STATE_GROUP(VcpuState, "mp-state", mp_state, &mp_state_group),
	STATE_GROUP(VcpuState, "regs", regs, &regs_group),
	STATE_GROUP(VcpuState, "sregs", sregs, &sregs_group),
	STATE_OF(VcpuState, "xsave", xsave, FIELD_BLOB),
	STATE_GROUP(VcpuState, "xcrs", xcrs, &xcrs_group),
	STATE_GROUP(VcpuState, "debugregs", debugregs, &debugregs_group),
	STATE_GROUP(VcpuState, "lapic", lapic, &lapic_group),
	STATE_OF(VcpuState, "msrs", msrs, FIELD_MSRS),
	STATE_OF(VcpuState, "cet", cet, FIELD_CET),
	STATE_GROUP(VcpuState, "events", events, &events_group),
};
const StateGroup vcpu_state_group = STATE_GROUP_OF(VcpuState, vcpu_fields);

/* The members of CetCpu that are no bits of CPUID's own leaves travel as they are. */
static const StateField host_fields[] = {
	STATE_U32(CetCpu, "features", features),
	STATE_U8(CetCpu, "linear-bits", linear_bits),
	STATE_U64(CetCpu, "xss", xss),
	STATE_BOOL(CetCpu, "ignores-msrs", ignores_msrs),
	STATE_RARE(CetCpu, "traits", traits, FIELD_U32),
};
static const StateGroup host_group = STATE_GROUP_OF(CetCpu, host_fields);
G_STATIC_ASSERT(sizeof(((CetCpu *)NULL)->ignores_msrs) == 1);

static const StateField machine_fields[] = {
	STATE_U64(MachineState, "memory", memory),
	STATE_OF(MachineState, "cpuid", cpuid, FIELD_CPUID),
	STATE_GROUP(MachineState, "clock", clock, &clock_group),
	STATE_GROUP(MachineState, "host", host, &host_group),
};
const StateGroup machine_state_group = STATE_GROUP_OF(MachineState, machine_fields);

static void vcpu_state_destroy(void *data)
{
	VcpuState *vcpu = data;

	g_byte_array_unref(vcpu->xsave);
	g_array_unref(vcpu->msrs);
	g_free(vcpu);
}

static void device_state_destroy(void *data)
{
	DeviceState *device = data;

	g_free(device->data);
	g_free(device);
}

MachineState *machine_state_create(void)
{
	MachineState *state = g_new0(MachineState, 1);

	state->vcpus = g_ptr_array_new_with_free_func(vcpu_state_destroy);
	state->devices = g_ptr_array_new_with_free_func(device_state_destroy);
	return state;
}

void machine_state_destroy(MachineState *state)
{
	if (!state)
		return;
	g_ptr_array_unref(state->vcpus);
	g_ptr_array_unref(state->devices);
	g_free(state->cpuid);
	g_free(state->kernel);
	g_free(state);
}

VcpuState *machine_state_add_vcpu(MachineState *state)
{
	VcpuState *vcpu = g_new0(VcpuState, 1);

	vcpu->id = state->vcpus->len;
	vcpu->xsave = g_byte_array_new();
	vcpu->msrs = g_array_new(FALSE, TRUE, sizeof(struct kvm_msr_entry));
	g_ptr_array_add(state->vcpus, vcpu);
	return vcpu;
}

DeviceState *machine_state_add_device(MachineState *state, const DeviceKind *kind)
{
	DeviceState *device = g_new0(DeviceState, 1);

	device->kind = kind;
	device->data = g_malloc0(kind->group->size);
	g_ptr_array_add(state->devices, device);
	return device;
}

const DeviceState *machine_state_find_device(const MachineState *state, const char *kind)
{
	for (unsigned i = 0; i < state->devices->len; i++) {
		const DeviceState *device = state->devices->pdata[i];

		if (strcmp(device->kind->name, kind) == 0)
			return device;
	}
	return NULL;
}
