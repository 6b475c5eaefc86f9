// SPDX-License-Identifier: MIT
#include "inspect/check_view.h"

#include "inspect/json_hex.h"
#include "umbra/cet.h"

char *check_to_text(const GPtrArray *problems)
{
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < problems->len; i++) {
		const StateProblem *problem = problems->pdata[i];

		if (problem->vcpu < 0)
			g_string_append(text, "machine: ");
		else
			g_string_append_printf(text, "vcpu %d: ", problem->vcpu);
		g_string_append_printf(text, "%s\n", problem->text);
	}
	return g_string_free(text, FALSE);
}

static json_object *problem_to_json(const StateProblem *problem)
{
	json_object *json = json_object_new_object();
	char bits[160];

	json_object_object_add(json, "vcpu",
			       problem->vcpu < 0 ? NULL : json_object_new_int(problem->vcpu));
	json_object_object_add(json, "register", json_object_new_string(problem->what));
	json_object_object_add(json, "value", json_hex(problem->value));
	json_object_object_add(
		json, "bits",
		json_object_new_string(cet_bits_text(problem->bits, bits, sizeof(bits))));
	json_object_object_add(json, "rule", json_object_new_string(problem->rule));
	json_object_object_add(json, "kvm", json_object_new_string(cet_verdict_name(problem->kvm)));
	json_object_object_add(json, "remedy", json_object_new_string(problem->remedy));
	return json;
}

json_object *check_to_json(const GPtrArray *problems)
{
	json_object *json = json_object_new_array();

	for (guint i = 0; i < problems->len; i++)
		json_object_array_add(json, problem_to_json(problems->pdata[i]));
	return json;
}
