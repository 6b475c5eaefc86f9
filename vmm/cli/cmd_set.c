// SPDX-License-Identifier: MIT
/* umbra set: writes registers of a paused guest; the guest's process judges them. */
#include "cli/cli.h"
#include "cli/client.h"

#include "base/error.h"
#include "base/parse.h"
#include "inspect/json_hex.h"

#include <stdio.h>
#include <string.h>

/* REGISTER=VALUE */
static bool add_value(json_object *values, const char *word, GError **error)
{
	const char *equals = strchr(word, '=');
	uint64_t value;

	if (!equals)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "set: '%s' is not REGISTER=VALUE",
				  word);
	g_autofree char *name = g_strndup(word, (gsize)(equals - word));

	if (!parse_uint(name, equals + 1, 0, UINT64_MAX, &value, error))
		return false;
	if (json_object_object_get_ex(values, name, NULL))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "set: %s is given twice", name);
	json_object_object_add(values, name, json_hex(value));
	return true;
}

static json_object *make_arguments(char **words, const char *cpu, bool force, GError **error)
{
	g_autoptr(json_object) arguments = json_object_new_object();
	json_object *values = json_object_new_object();
	uint64_t number = 0;

	json_object_object_add(arguments, "values", values);
	for (; *words; words++)
		if (!add_value(values, *words, error))
			return NULL;
	if (cpu && !parse_uint("--cpu", cpu, 0, UINT16_MAX, &number, error))
		return NULL;
	json_object_object_add(arguments, "cpu", json_object_new_int64((int64_t)number));
	json_object_object_add(arguments, "force", json_object_new_boolean(force));
	return g_steal_pointer(&arguments);
}

static void print_changes(json_object *answer)
{
	json_object *changes = json_object_object_get(answer, "changes");

	if (!json_object_is_type(changes, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(changes); i++) {
		json_object *change = json_object_array_get_idx(changes, i);

		printf("%s: %s → %s\n",
		       json_object_get_string(json_object_object_get(change, "register")),
		       json_object_get_string(json_object_object_get(change, "before")),
		       json_object_get_string(json_object_object_get(change, "after")));
	}
}

int cmd_set(int argc, char **argv)
{
	g_autofree char *cpu = NULL;
	gboolean force = FALSE;
	const GOptionEntry options[] = {
		{"cpu", 0, 0, G_OPTION_ARG_STRING, &cpu, "of this vCPU (default 0)", "N"},
		{"force", 0, 0, G_OPTION_ARG_NONE, &force,
		 "write what breaks a rule too, if KVM takes and keeps it", NULL},
		{0},
	};
	g_autoptr(GError) error = NULL;

	if (!cli_parse(&argc, &argv, options, "TARGET REGISTER=VALUE…",
		       "Writes CET registers of a paused guest: all of them, or none.", -3, &error))
		return cli_error(error);
	g_autoptr(json_object) arguments = make_arguments(argv + 2, cpu, force, &error);
	g_autoptr(Client) client = arguments ? client_open(argv[1], &error) : NULL;
	g_autoptr(json_object) answer =
		client ? client_execute(client, "x-umbra-set", g_steal_pointer(&arguments), &error)
		       : NULL;

	if (!answer)
		return cli_error(error);
	print_changes(answer);
	return EXIT_YES;
}
