// SPDX-License-Identifier: MIT
/* Capture and restore against a vCPU that is made up here and misbehaves on demand. */
#include "umbra/cet.h"

#include <glib.h>
#include <string.h>

static const CetCpu both = {.features = CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM |
					CET_FEATURE_XSAVES,
			    .linear_bits = 48,
			    .xss = 0x1800};

enum {
	ALL = (1 << CET_N_REGS) - 1 + CET_HAS_XSS,
	NOWHERE = -1,
};

typedef struct Held {
	uint64_t one_reg;
	uint64_t value;
} Held;

typedef struct FakeVcpu {
	Held held[16];
	unsigned n;
	int refuse_set; /* the entry at which a set stops, or NOWHERE */
	int refuse_get;
	int lose; /* the entry that a set drops with success */
	int fail; /* an errno for everything */
	unsigned sets, gets;
	GString *order; /* ids in the order of writing */
} FakeVcpu;

static Held *find(FakeVcpu *vcpu, uint64_t id)
{
	for (unsigned i = 0; i < vcpu->n; i++)
		if (vcpu->held[i].one_reg == id)
			return &vcpu->held[i];
	vcpu->held[vcpu->n].one_reg = id;
	return &vcpu->held[vcpu->n++];
}

static int fake_get(void *self, const uint64_t *ids, uint64_t *values, unsigned n)
{
	FakeVcpu *vcpu = self;

	vcpu->gets++;
	if (vcpu->fail)
		return -vcpu->fail;
	for (unsigned i = 0; i < n; i++) {
		if ((int)i == vcpu->refuse_get)
			return (int)i;
		values[i] = find(vcpu, ids[i])->value;
	}
	return (int)n;
}

static int fake_set(void *self, const uint64_t *ids, const uint64_t *values, unsigned n)
{
	FakeVcpu *vcpu = self;

	vcpu->sets++;
	if (vcpu->fail)
		return -vcpu->fail;
	for (unsigned i = 0; i < n; i++) {
		if ((int)i == vcpu->refuse_set)
			return (int)i;
		if ((int)i != vcpu->lose)
			find(vcpu, ids[i])->value = values[i];
		g_string_append_printf(vcpu->order, "%" G_GINT64_MODIFIER "x ",
				       ids[i] & 0xf00000fff);
	}
	return (int)n;
}

static void fake_init(FakeVcpu *vcpu, RegIo *ret_io)
{
	*vcpu = (FakeVcpu){.refuse_set = NOWHERE,
			   .refuse_get = NOWHERE,
			   .lose = NOWHERE,
			   .order = g_string_new(NULL)};
	*ret_io = (RegIo){fake_get, fake_set, vcpu};
}

static void fake_finish(FakeVcpu *vcpu)
{
	g_string_free(vcpu->order, TRUE);
}

static CetState some_state(void)
{
	CetState state = {.has = ALL, .xss = 0x1800};

	for (unsigned i = 0; i < CET_N_REGS; i++)
		state.value[i] = 0x10000 + 0x4000 * i;
	state.value[CET_U_CET] = 0x3;
	state.value[CET_S_CET] = 0x4;
	return state;
}

static void test_round_trip(void)
{
	FakeVcpu vcpu;
	RegIo io;
	CetState state = some_state(), back;
	CetFault fault;
	CetJudge judge;

	cet_judge_init(&judge, &both, &both);
	fake_init(&vcpu, &io);
	g_assert_cmpint(cet_restore(&io, &state, &judge, &fault), ==, 0);
	g_assert_cmpstr(vcpu.order->str, ==,
			"200000da0 2000006a0 2000006a2 2000006a4 2000006a5 2000006a6 2000006a7 "
			"2000006a8 300000000 ");
	g_assert_cmpuint(vcpu.sets, ==, 1);
	g_assert_cmpuint(vcpu.gets, ==, 1);
	memset(&back, 0xa5, sizeof(back));
	g_assert_cmpint(cet_capture(&io, ALL, &back, &fault), ==, 0);
	g_assert_cmpmem(&back, sizeof(back), &state, sizeof(state));
	fake_finish(&vcpu);
}

static void test_part(void)
{
	FakeVcpu vcpu;
	RegIo io;
	CetState state = {.has = 1u << CET_S_CET | 1u << CET_PL3_SSP | CET_HAS_CR,
			  .value = {[CET_S_CET] = 4, [CET_PL3_SSP] = 0x1000}};
	CetState back;
	CetFault fault;

	fake_init(&vcpu, &io);
	g_assert_cmpint(cet_write(&io, &state, &fault), ==, 0);
	g_assert_cmpstr(vcpu.order->str, ==, "2000006a2 2000006a7 ");
	g_assert_cmpint(cet_capture(&io, state.has, &back, &fault), ==, 0);
	g_assert_cmphex(back.has, ==, 1u << CET_S_CET | 1u << CET_PL3_SSP);
	g_assert_cmphex(back.value[CET_PL3_SSP], ==, 0x1000);
	g_assert_cmphex(back.value[CET_U_CET], ==, 0);
	fake_finish(&vcpu);
}

/* A short count names the register at which KVM stopped, whichever it is. */
static void test_refused(void)
{
	static const char *const names[] = {"xss",     "u_cet",	      "s_cet",
					    "pl0_ssp", "pl1_ssp",     "pl2_ssp",
					    "pl3_ssp", "int_ssp_tab", "guest_ssp"};
	CetState state = some_state();

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		FakeVcpu vcpu;
		RegIo io;
		CetFault fault;
		CetState back = {.has = 77};
		char text[300];

		fake_init(&vcpu, &io);
		vcpu.refuse_set = (int)i;
		g_assert_cmpint(cet_write(&io, &state, &fault), ==, -1);
		g_assert_cmpstr(fault.name, ==, names[i]);
		g_assert_cmpstr(fault.attempt, ==, "write");
		g_assert_nonnull(strstr(cet_fault_text(&fault, text, sizeof(text)), names[i]));
		g_assert_nonnull(strstr(text, "refuses"));

		vcpu.refuse_get = (int)i;
		g_assert_cmpint(cet_capture(&io, ALL, &back, &fault), ==, -1);
		g_assert_cmpstr(fault.name, ==, names[i]);
		g_assert_cmpstr(fault.attempt, ==, "read");
		g_assert_cmphex(back.has, ==, 77);
		fake_finish(&vcpu);
	}
}

static void test_lost(void)
{
	CetState state = some_state();
	CetJudge judge;

	cet_judge_init(&judge, &both, &both);

	for (unsigned i = 0; i < 9; i++) {
		FakeVcpu vcpu;
		RegIo io;
		CetFault fault;
		char text[300];

		fake_init(&vcpu, &io);
		vcpu.lose = (int)i;
		g_assert_cmpint(cet_restore(&io, &state, &judge, &fault), ==, -1);
		g_assert_cmpstr(fault.attempt, ==, "read back");
		g_assert_cmpstr(fault.name, ==, i == 0 ? "xss" : cet_registers[i - 1].name);
		g_assert_cmphex(fault.value, ==, i == 0 ? 0x1800 : state.value[i - 1]);
		g_assert_cmphex(fault.found, ==, 0);
		cet_fault_text(&fault, text, sizeof(text));
		g_assert_nonnull(strstr(text, "holds 0x0"));
		fake_finish(&vcpu);
	}
}

/* What the check refuses never reaches the vCPU; cet_write() lets it through. */
static void test_check_comes_first(void)
{
	FakeVcpu vcpu;
	RegIo io;
	CetState state = some_state();
	CetFault fault;
	CetJudge judge;
	char text[400];

	cet_judge_init(&judge, &both, &both);
	fake_init(&vcpu, &io);
	state.value[CET_U_CET] = 0x8000000000000004;
	g_assert_cmpint(cet_restore(&io, &state, &judge, &fault), ==, -1);
	g_assert_cmpuint(vcpu.sets + vcpu.gets, ==, 0);
	g_assert_cmpstr(fault.attempt, ==, "check");
	g_assert_cmpstr(fault.name, ==, "u_cet");
	g_assert_cmpint(fault.problem.kvm, ==, REG_LOSES);
	g_assert_nonnull(strstr(cet_fault_text(&fault, text, sizeof(text)), "canonical"));
	g_assert_cmpint(cet_write(&io, &state, &fault), ==, 0);
	fake_finish(&vcpu);
}

static void test_failure(void)
{
	FakeVcpu vcpu;
	RegIo io;
	CetState state = some_state(), back;
	CetFault fault;
	char text[200];

	fake_init(&vcpu, &io);
	vcpu.fail = 14;
	g_assert_cmpint(cet_write(&io, &state, &fault), ==, -1);
	g_assert_null(fault.name);
	g_assert_cmpint(fault.error, ==, 14);
	g_assert_nonnull(strstr(cet_fault_text(&fault, text, sizeof(text)), "Bad address"));
	g_assert_cmpint(cet_capture(&io, ALL, &back, &fault), ==, -1);
	g_assert_cmpint(fault.error, ==, 14);
	fake_finish(&vcpu);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cet/transfer/round-trip", test_round_trip);
	g_test_add_func("/cet/transfer/part", test_part);
	g_test_add_func("/cet/transfer/refused", test_refused);
	g_test_add_func("/cet/transfer/lost", test_lost);
	g_test_add_func("/cet/transfer/check-first", test_check_comes_first);
	g_test_add_func("/cet/transfer/failure", test_failure);
	return g_test_run();
}
