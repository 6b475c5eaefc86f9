// SPDX-License-Identifier: MIT
/*
 * A host's description from anywhere: it is refused, or what was read is a host that a
 * state can be held against and that can be described again.
 */
#include "../unit/judged_example.h"
#include "fuzz.h"
#include "inspect/host_text.h"
#include "state/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	g_auto(HostInfo) host = {0};

	if (!host_info_from_json((const char *)data, size, &host, &error)) {
		g_assert_nonnull(error);
		return 0;
	}
	g_autoptr(MachineState) state = example_state();
	g_autoptr(GPtrArray) problems = machine_state_check(state, &host);
	for (guint i = 0; i < problems->len; i++)
		g_assert_true(
			g_utf8_validate(((StateProblem *)problems->pdata[i])->text, -1, NULL));
	g_autofree char *text = host_json(&host);
	g_auto(HostInfo) again = {0};

	g_assert_true(host_info_from_json(text, strlen(text), &again, NULL));
	return 0;
}
