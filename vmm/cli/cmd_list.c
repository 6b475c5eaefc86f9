// SPDX-License-Identifier: MIT
/* umbra list: the running guests of this user, each asked for itself. */
#include "base/error.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "control/registry.h"
#include "base/unix_socket.h"

#include <stdio.h>
#include <string.h>

/* A guest as `list --json` has it; NULL if it does not answer. */
static json_object *describe(const RegistryEntry *entry, GError **error)
{
	g_autoptr(Client) client = client_open(entry->path, error);

	if (!client)
		return NULL;
	g_autoptr(json_object) status = client_execute(client, "query-status", NULL, error);

	if (!status)
		return NULL;
	g_autoptr(json_object) cpus = client_execute(client, "query-cpus-fast", NULL, error);

	if (!cpus)
		return NULL;
	g_autoptr(json_object) memory =
		client_execute(client, "query-memory-size-summary", NULL, error);

	if (!memory)
		return NULL;
	json_object *guest = json_object_new_object();

	json_object_object_add(guest, "name", json_object_new_string(entry->name));
	json_object_object_add(guest, "pid", json_object_new_int64(client_pid(client)));
	json_object_object_add(guest, "status",
			       json_object_get(json_object_object_get(status, "status")));
	json_object_object_add(guest, "vcpus",
			       json_object_new_int64((int64_t)json_object_array_length(cpus)));
	json_object_object_add(guest, "memory",
			       json_object_get(json_object_object_get(memory, "base-memory")));
	json_object_object_add(guest, "socket", json_object_new_string(entry->path));
	return guest;
}

/* Whether there is such a guest. What a killed one left behind is removed on the way. */
static bool is_there(const RegistryEntry *entry)
{
	unix_socket_remove_stale(entry->path);
	return g_file_test(entry->path, G_FILE_TEST_EXISTS);
}

/* All guests that answer. Of one that ends just now there is nothing to say. */
static json_object *collect(void)
{
	g_autoptr(GPtrArray) entries = registry_list();
	json_object *guests = json_object_new_array();

	for (guint i = 0; i < entries->len; i++) {
		const RegistryEntry *entry = g_ptr_array_index(entries, i);
		g_autoptr(GError) error = NULL;

		if (!is_there(entry))
			continue;
		json_object *guest = describe(entry, &error);

		if (guest)
			json_object_array_add(guests, guest);
		else if (!g_error_matches(error, UMBRA_ERROR, UMBRA_ERROR_GONE) && is_there(entry))
			cli_warn("%s", error->message);
	}
	return guests;
}

static const char *text_of(json_object *guest, const char *key)
{
	return json_object_get_string(json_object_object_get(guest, key));
}

static void print_table(json_object *guests)
{
	int width = (int)strlen("NAME");

	for (size_t i = 0; i < json_object_array_length(guests); i++)
		width = MAX(width,
			    (int)strlen(text_of(json_object_array_get_idx(guests, i), "name")));
	printf("%-*s  %7s  %-11s  %5s  %9s  %s\n", width, "NAME", "PID", "STATUS", "VCPUS",
	       "MEMORY", "SOCKET");
	for (size_t i = 0; i < json_object_array_length(guests); i++) {
		json_object *guest = json_object_array_get_idx(guests, i);
		int64_t bytes = json_object_get_int64(json_object_object_get(guest, "memory"));

		printf("%-*s  %7s  %-11s  %5s  %6ld MB  %s\n", width, text_of(guest, "name"),
		       text_of(guest, "pid"), text_of(guest, "status"), text_of(guest, "vcpus"),
		       bytes >> 20, text_of(guest, "socket"));
	}
}

int cmd_list(int argc, char **argv)
{
	gboolean as_json = FALSE;
	const GOptionEntry options[] = {
		{"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "for programs", NULL},
		{0},
	};
	g_autoptr(GError) error = NULL;

	if (!cli_parse(&argc, &argv, options, "", "Shows the running guests of this user.", 1,
		       &error))
		return cli_error(error);
	g_autoptr(json_object) list = json_object_new_object();
	json_object *guests = collect();

	json_object_object_add(list, "version", json_object_new_int(1));
	json_object_object_add(list, "guests", guests);
	if (as_json)
		puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		print_table(guests);
	return cli_answered("list", EXIT_YES);
}
