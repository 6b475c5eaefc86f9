// SPDX-License-Identifier: MIT
#include "control/incoming.h"

static bool query_name(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlIncoming *incoming = owner;

	(void)arguments, (void)error;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "name", json_object_new_string(incoming->name));
	return true;
}

static bool query_status(void *owner, json_object *arguments, json_object **ret_value,
			 GError **error)
{
	(void)owner, (void)arguments, (void)error;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "status", json_object_new_string("inmigrate"));
	json_object_object_add(*ret_value, "running", json_object_new_boolean(false));
	return true;
}

static bool query_migrate(void *owner, json_object *arguments, json_object **ret_value,
			  GError **error)
{
	const ControlIncoming *incoming = owner;
	MigrateStatus status = incoming->status(incoming->owner);

	(void)arguments, (void)error;
	*ret_value = json_object_new_object();
	if (status != MIGRATE_NONE)
		json_object_object_add(*ret_value, "status",
				       json_object_new_string(migrate_status_name(status)));
	return true;
}

/* Whoever lists guests asks for these two: nothing of a guest is here yet. */
static bool query_cpus_fast(void *owner, json_object *arguments, json_object **ret_value,
			    GError **error)
{
	(void)owner, (void)arguments, (void)error;
	*ret_value = json_object_new_array();
	return true;
}

static bool query_memory(void *owner, json_object *arguments, json_object **ret_value,
			 GError **error)
{
	(void)owner, (void)arguments, (void)error;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "base-memory", json_object_new_int64(0));
	return true;
}

static bool migrate_incoming(void *owner, json_object *arguments, json_object **ret_value,
			     GError **error)
{
	const ControlIncoming *incoming = owner;

	(void)ret_value;
	return incoming->listen(incoming->owner,
				json_object_get_string(json_object_object_get(arguments, "uri")),
				error);
}

/*
 * Clients set up both ends alike. Here only "events" means anything: the rest is up to
 * the source.
 */
static bool set_capabilities(void *owner, json_object *arguments, json_object **ret_value,
			     GError **error)
{
	ControlIncoming *incoming = owner;

	(void)ret_value;
	return migration_settings_set_capabilities(
		&incoming->settings, json_object_object_get(arguments, "capabilities"), error);
}

static bool query_capabilities(void *owner, json_object *arguments, json_object **ret_value,
			       GError **error)
{
	const ControlIncoming *incoming = owner;

	(void)arguments, (void)error;
	*ret_value = migration_settings_capabilities_json(&incoming->settings);
	return true;
}

static bool set_parameters(void *owner, json_object *arguments, json_object **ret_value,
			   GError **error)
{
	ControlIncoming *incoming = owner;

	(void)ret_value;
	return migration_settings_set_parameters(&incoming->settings, arguments, error);
}

static bool query_parameters(void *owner, json_object *arguments, json_object **ret_value,
			     GError **error)
{
	const ControlIncoming *incoming = owner;

	(void)arguments, (void)error;
	*ret_value = migration_settings_parameters_json(&incoming->settings);
	return true;
}

static bool quit(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlIncoming *incoming = owner;

	(void)arguments, (void)ret_value, (void)error;
	incoming->quit(incoming->owner);
	return true;
}

static const QmpCommand commands[] = {
	{.name = "query-name", .run = query_name},
	{.name = "query-status", .run = query_status},
	{.name = "query-cpus-fast", .run = query_cpus_fast},
	{.name = "query-memory-size-summary", .run = query_memory},
	{.name = "query-migrate", .run = query_migrate},
	{.name = "migrate-incoming",
	 .run = migrate_incoming,
	 .arguments = {{"uri", json_type_string, false}}},
	{.name = "migrate-set-capabilities",
	 .run = set_capabilities,
	 .arguments = {{"capabilities", json_type_array, false}}},
	{.name = "query-migrate-capabilities", .run = query_capabilities},
	{.name = "migrate-set-parameters",
	 .run = set_parameters,
	 .arguments = MIGRATION_PARAMETER_ARGUMENTS},
	{.name = "query-migrate-parameters", .run = query_parameters},
	{.name = "quit", .run = quit},
};

void control_incoming_attach(ControlIncoming *incoming)
{
	migration_settings_init(&incoming->settings);
	control_server_add_commands(incoming->server, commands, G_N_ELEMENTS(commands), incoming);
}

void control_incoming_detach(ControlIncoming *incoming)
{
	MigrateStatus status = incoming->status(incoming->owner);

	if (incoming->settings.events && status != MIGRATE_NONE) {
		json_object *data = json_object_new_object();

		json_object_object_add(data, "status",
				       json_object_new_string(migrate_status_name(status)));
		control_server_event(incoming->server, "MIGRATION", data);
	}
	migration_settings_finish(&incoming->settings);
	control_server_remove_commands(incoming->server, commands);
}
