// SPDX-License-Identifier: MIT
/* The table of vCPU stages against the description of a vCPU's state, and against KVM's order. */
#include "machine/stages.h"

#include <glib.h>
#include <string.h>

/* By hand, from what KVM demands: the reasons stand at the table. */
static const char *const order[] = {
	"tsc-khz", "tsc",	"mp-state", "regs", "sregs", "xsave",
	"xcrs",	   "debugregs", "lapic",    "msrs", "cet",   "events",
};

static void test_order(void)
{
	g_assert_cmpuint(VCPU_N_STAGES, ==, G_N_ELEMENTS(order));
	for (unsigned i = 0; i < VCPU_N_STAGES; i++)
		g_assert_cmpstr(vcpu_stages[i].name, ==, order[i]);
}

/* What is described travels: a field without a stage would be written as zero. */
static void test_each_field_has_one_stage(void)
{
	unsigned stage = 0;

	for (unsigned i = 0; i < vcpu_state_group.n_fields; i++) {
		const char *name = vcpu_state_group.fields[i].name;

		if (strcmp(name, "id") == 0)
			continue;
		g_assert_cmpuint(stage, <, VCPU_N_STAGES);
		g_assert_cmpstr(vcpu_stages[stage].name, ==, name);
		g_assert_nonnull(vcpu_stages[stage].save);
		g_assert_nonnull(vcpu_stages[stage].load);
		stage++;
	}
	g_assert_cmpuint(stage, ==, VCPU_N_STAGES);
}

static void test_msrs_that_travel_elsewhere(void)
{
	static const uint32_t elsewhere[] = {0x10, 0xda0, 0x6a0, 0x6a2, 0x6a4, 0x6a7, 0x6a8};
	static const uint32_t here[] = {0xc0000081, 0xc0000102, 0x6e0, 0x3b, 0x277, 0x4b564d01};

	for (unsigned i = 0; i < G_N_ELEMENTS(elsewhere); i++)
		g_assert_nonnull(stage_msrs_left_out(elsewhere[i]));
	for (unsigned i = 0; i < G_N_ELEMENTS(here); i++)
		g_assert_null(stage_msrs_left_out(here[i]));
}

static const VcpuStage *stage(const char *name)
{
	for (unsigned i = 0; i < VCPU_N_STAGES; i++)
		if (strcmp(vcpu_stages[i].name, name) == 0)
			return &vcpu_stages[i];
	g_assert_not_reached();
}

/* Of the LAPIC only the timer's own vector may have come, and only the priority may differ. */
static void test_lapic_settles(void)
{
	g_autoptr(MachineState) state = machine_state_create();
	VcpuState *loaded = machine_state_add_vcpu(state), *found = machine_state_add_vcpu(state);
	uint8_t *from = (uint8_t *)loaded->lapic.regs, *to = (uint8_t *)found->lapic.regs;

	from[0x320] = to[0x320] = 0xec; /* the timer's vector */
	to[0x270 + 1] = 0x10;		/* requests: 0xec is bit 12 of the last register */
	to[0xa0] = 0xe0;
	stage("lapic")->settle(loaded, found);
	g_assert_cmpmem(to, sizeof(loaded->lapic.regs), from, sizeof(loaded->lapic.regs));
	to[0x270 + 1] = 0x30;
	stage("lapic")->settle(loaded, found);
	g_assert_cmphex(to[0x270 + 1], ==, 0x20);
}

static void test_xsave_settles(void)
{
	g_autoptr(MachineState) state = machine_state_create();
	VcpuState *loaded = machine_state_add_vcpu(state), *found = machine_state_add_vcpu(state);

	g_byte_array_set_size(loaded->xsave, 4096);
	g_byte_array_set_size(found->xsave, 5000);
	memset(loaded->xsave->data, 0, 4096);
	memset(found->xsave->data, 0, 5000);
	found->xsave->data[470] = 1;   /* the host's word */
	found->xsave->data[512] = 3;   /* XSTATE_BV */
	found->xsave->data[24] = 0x20; /* MXCSR, and SSE is initial */
	stage("xsave")->settle(loaded, found);
	g_assert_cmpmem(found->xsave->data, found->xsave->len, loaded->xsave->data, 4096);
	loaded->xsave->data[512] = 2; /* SSE is in use: MXCSR counts */
	found->xsave->data[24] = 0x20;
	found->xsave->data[160] = 1; /* XMM0 */
	stage("xsave")->settle(loaded, found);
	g_assert_cmphex(found->xsave->data[24], ==, 0x20);
	g_assert_cmphex(found->xsave->data[160], ==, 1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/stages/order", test_order);
	g_test_add_func("/stages/each-field-has-one-stage", test_each_field_has_one_stage);
	g_test_add_func("/stages/msrs-that-travel-elsewhere", test_msrs_that_travel_elsewhere);
	g_test_add_func("/stages/lapic-settles", test_lapic_settles);
	g_test_add_func("/stages/xsave-settles", test_xsave_settles);
	return g_test_run();
}
