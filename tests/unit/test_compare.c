// SPDX-License-Identifier: MIT
/* Two states side by side: each kind of field, and the paths that people read. */
#include "state/compare.h"

#include <string.h>

static MachineState *example(void)
{
	MachineState *state = machine_state_create();
	VcpuState *vcpu = machine_state_add_vcpu(state);
	struct kvm_msr_entry lstar = {.index = 0xc0000082, .data = 1}, odd = {.index = 0x12345};
	DeviceState *serial = machine_state_add_device(state, device_kind_find("serial"));

	state->memory = 1 << 28;
	state->cpuid = g_malloc0(sizeof(*state->cpuid) + sizeof(state->cpuid->entries[0]));
	state->cpuid->nent = 1;
	state->cpuid->entries[0] = (struct kvm_cpuid_entry2){.function = 7, .ecx = 0x80};
	g_byte_array_set_size(vcpu->xsave, 4096);
	memset(vcpu->xsave->data, 0, 4096);
	g_array_append_val(vcpu->msrs, lstar);
	g_array_append_val(vcpu->msrs, odd);
	vcpu->cet = (CetState){.has = 1 << CET_U_CET | CET_HAS_XSS, .xss = 0x1800};
	((SerialState *)serial->data)->ier = 1;
	return state;
}

typedef void Change(MachineState *state, VcpuState *vcpu);

static void change_memory(MachineState *state, VcpuState *vcpu G_GNUC_UNUSED)
{
	state->memory = 1 << 29;
}

static void change_cpuid(MachineState *state, VcpuState *vcpu G_GNUC_UNUSED)
{
	state->cpuid->entries[0].ecx = 0;
}

static void change_cr4(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->sregs.cr4 = 0x800000;
}

static void change_segment(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->sregs.ss.dpl = 3;
}

static void change_xsave(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->xsave->data[0x240] = 7;
	vcpu->xsave->data[0x300] = 8;
}

static void change_xsave_size(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	g_byte_array_set_size(vcpu->xsave, 2048);
}

static void change_lapic(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->lapic.regs[0x230] = 1;
}

static void change_msr(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	g_array_index(vcpu->msrs, struct kvm_msr_entry, 0).data = 2;
}

static void drop_msr(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	g_array_set_size(vcpu->msrs, 1);
}

static void change_cet(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->cet.value[CET_U_CET] = 5;
}

static void drop_cet(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->cet.has = CET_HAS_XSS;
}

static void change_tsc(MachineState *state G_GNUC_UNUSED, VcpuState *vcpu)
{
	vcpu->tsc = 99;
}

static void change_device(MachineState *state, VcpuState *vcpu G_GNUC_UNUSED)
{
	((SerialState *)((DeviceState *)state->devices->pdata[0])->data)->ier = 3;
}

static void drop_device(MachineState *state, VcpuState *vcpu G_GNUC_UNUSED)
{
	g_ptr_array_set_size(state->devices, 0);
}

static void add_vcpu(MachineState *state, VcpuState *vcpu G_GNUC_UNUSED)
{
	machine_state_add_vcpu(state);
}

static const struct {
	Change *change;
	const char *path, *a, *b;
	bool moves;
} cases[] = {
	{change_memory, "memory", "0x10000000", "0x20000000", false},
	{change_cpuid, "cpuid.7.0.ecx", "0x80", "0", false},
	{change_cr4, "vcpu 0: sregs.cr4", "0", "0x800000", false},
	{change_segment, "vcpu 0: sregs.ss.dpl", "0", "0x3", false},
	{change_xsave, "vcpu 0: xsave[0x240] and others", "0", "0x7", false},
	{change_xsave_size, "vcpu 0: xsave", "4096 bytes", "2048 bytes", false},
	{change_lapic, "vcpu 0: lapic.requests[3]", "0", "0x1", false},
	{change_msr, "vcpu 0: msrs.lstar", "0x1", "0x2", false},
	{drop_msr, "vcpu 0: msrs.0x12345", "0", "none", false},
	{change_cet, "vcpu 0: cet.u_cet", "0", "0x5", false},
	{drop_cet, "vcpu 0: cet.u_cet", "0", "none", false},
	{change_tsc, "vcpu 0: tsc", "0", "0x63", true},
	{change_device, "serial.ier", "0x1", "0x3", false},
	{drop_device, "serial", "present", "none", false},
	{add_vcpu, "vcpu 1", "none", "present", false},
};

static void test_same(void)
{
	g_autoptr(MachineState) a = example(), b = example();
	g_autoptr(GPtrArray) found = machine_state_compare(a, b);

	g_assert_cmpuint(found->len, ==, 0);
}

static void test_each(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(MachineState) a = example(), b = example();

		cases[i].change(b, b->vcpus->pdata[0]);
		g_autoptr(GPtrArray) found = machine_state_compare(a, b);
		g_autoptr(GPtrArray) back = machine_state_compare(b, a);

		g_assert_cmpuint(found->len, ==, 1);
		g_assert_cmpuint(back->len, ==, 1);
		const StateDifference *one = found->pdata[0], *other = back->pdata[0];

		g_assert_cmpstr(one->path, ==, cases[i].path);
		g_assert_cmpstr(one->a, ==, cases[i].a);
		g_assert_cmpstr(one->b, ==, cases[i].b);
		g_assert_true(one->moves == cases[i].moves);
		g_assert_cmpstr(other->path, ==, cases[i].path);
		g_assert_cmpstr(other->a, ==, cases[i].b);
		g_assert_cmpstr(other->b, ==, cases[i].a);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/compare/same", test_same);
	g_test_add_func("/compare/each", test_each);
	return g_test_run();
}
