// SPDX-License-Identifier: MIT
/* A vCPU's view from a state that is not live is what the state holds. */
#include "judged_example.h"
#include "state/vcpu_live.h"
#include "state/vcpu_view.h"

static void test_view(void)
{
	g_autoptr(MachineState) state = example_state();
	VcpuState *vcpu = state->vcpus->pdata[1];
	VcpuView view;

	vcpu->cet.value[CET_GUEST_SSP] = 0x7fff00002ff8;
	state->host.linear_bits = 57;
	vcpu_view_of_state(state, 1, &view);
	g_assert_cmpuint(view.id, ==, 1);
	g_assert_cmpuint(view.cpl, ==, 3);
	g_assert_cmphex(view.rip, ==, 0x401234);
	g_assert_cmphex(view.paging.cr0, ==, 0x80050033);
	g_assert_cmphex(view.paging.cr3, ==, 0x1234000);
	g_assert_cmphex(view.paging.cr4, ==, 0x8006f0);
	g_assert_cmphex(view.paging.efer, ==, 0xd01);
	g_assert_cmphex(view.cet.value[CET_GUEST_SSP], ==, 0x7fff00002ff8);
	g_assert_cmphex(view.cet.xss, ==, CET_XSS_USER);
	g_assert_cmphex(view.cet.cr0, ==, 0x80050033);
	g_assert_cmphex(view.cet.cr4, ==, 0x8006f0);
	g_assert_cmphex(view.cet.has, ==, (1u << CET_N_REGS) - 1 + CET_HAS_XSS + CET_HAS_CR);
	g_assert_cmphex(view.guest.features, ==,
			CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM | CET_FEATURE_XSAVES);
	g_assert_cmpuint(view.guest.linear_bits, ==, 48);
	g_assert_cmpuint(view.host.linear_bits, ==, 57);
	g_assert_true(vcpu_shstk_is_live(&view));
	g_assert_false(vcpu_ibt_is_live(&view));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/state_view/view", test_view);
	return g_test_run();
}
