// SPDX-License-Identifier: MIT
#include "check_case.h"

/* As in Case. */
static char *told(const StateProblem *problem)
{
	char bits[160];
	g_autofree char *where =
		problem->vcpu < 0 ? g_strdup("machine") : g_strdup_printf("%d", problem->vcpu);

	return g_strdup_printf("%s %s: %s, %s", where, problem->what,
			       cet_bits_text(problem->bits, bits, sizeof(bits)),
			       cet_verdict_name(problem->kvm));
}

static void expect(const MachineState *state, const HostInfo *host, const char *const *expected)
{
	g_autoptr(GPtrArray) problems = machine_state_check(state, host);

	for (unsigned i = 0; i < problems->len; i++)
		g_test_message("%s", ((const StateProblem *)problems->pdata[i])->text);
	for (unsigned i = 0; i < problems->len; i++) {
		g_autofree char *found = told(problems->pdata[i]);

		g_assert_cmpstr(found, ==, expected[i]);
	}
	g_assert_null(expected[problems->len]);
}

static void test_case(const void *data)
{
	const Case *c = data;
	g_autoptr(MachineState) state = example_state();
	g_auto(HostInfo) host = {0};

	example_host(&host);
	c->change(state, &host);
	expect(state, &host, c->expected);
}

void check_cases_add(const Case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		g_autofree char *path = g_strdup_printf("/state_check/%s", cases[i].name);

		g_test_add_data_func(path, &cases[i], test_case);
	}
}
