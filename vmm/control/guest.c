// SPDX-License-Identifier: MIT
#include "control/guest.h"

#include "base/error.h"

static bool query_name(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlGuest *guest = owner;

	(void)arguments, (void)error;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "name", json_object_new_string(guest->name));
	return true;
}

static bool query_status(void *owner, json_object *arguments, json_object **ret_value,
			 GError **error)
{
	const ControlGuest *guest = owner;
	bool running = machine_is_running(guest->machine);
	const char *status = machine_is_given_away(guest->machine) ? "postmigrate"
			     : running				   ? "running"
								   : "paused";

	(void)arguments, (void)error;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "status", json_object_new_string(status));
	json_object_object_add(*ret_value, "running", json_object_new_boolean(running));
	return true;
}

static bool query_cpus_fast(void *owner, json_object *arguments, json_object **ret_value,
			    GError **error)
{
	const ControlGuest *guest = owner;

	(void)arguments, (void)error;
	*ret_value = json_object_new_array();
	for (unsigned id = 0; id < machine_vcpu_count(guest->machine); id++) {
		g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", id);
		json_object *cpu = json_object_new_object(), *place = json_object_new_object();

		json_object_object_add(cpu, "cpu-index", json_object_new_int64(id));
		json_object_object_add(cpu, "qom-path", json_object_new_string(path));
		json_object_object_add(
			cpu, "thread-id",
			json_object_new_int64(machine_vcpu_thread_id(guest->machine, id)));
		json_object_object_add(place, "socket-id", json_object_new_int64(0));
		json_object_object_add(place, "core-id", json_object_new_int64(id));
		json_object_object_add(place, "thread-id", json_object_new_int64(0));
		json_object_object_add(cpu, "props", place);
		json_object_object_add(cpu, "target", json_object_new_string("x86_64"));
		json_object_array_add(*ret_value, cpu);
	}
	return true;
}

static bool query_memory(void *owner, json_object *arguments, json_object **ret_value,
			 GError **error)
{
	const ControlGuest *guest = owner;
	uint64_t size = machine_memory(guest->machine)->size;

	(void)arguments, (void)error;
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "base-memory", json_object_new_int64((int64_t)size));
	return true;
}

/* Stops or goes, and tells all clients if that is news. */
static bool set_running(const ControlGuest *guest, bool running, GError **error)
{
	bool (*change)(Machine * machine) = running ? machine_resume : machine_pause;
	bool was_running = machine_is_running(guest->machine);

	if (!job_must_be_idle(guest->job, error))
		return false;
	if (!change(guest->machine))
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  machine_is_given_away(guest->machine)
					  ? "The guest was migrated and runs elsewhere"
					  : "The guest has ended");
	if (running != was_running)
		control_server_event(guest->server, running ? "RESUME" : "STOP", NULL);
	return true;
}

bool control_guest_hold(const ControlGuest *guest, GError **error)
{
	return machine_hold(guest->machine) ||
	       umbra_fail(error, UMBRA_ERROR_FAILED, "The guest has ended");
}

void control_guest_release(const ControlGuest *guest)
{
	machine_release(guest->machine);
}

static bool stop(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	(void)arguments, (void)ret_value;
	return set_running(owner, false, error);
}

static bool cont(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	(void)arguments, (void)ret_value;
	return set_running(owner, true, error);
}

static bool system_powerdown(void *owner, json_object *arguments, json_object **ret_value,
			     GError **error)
{
	const ControlGuest *guest = owner;

	(void)arguments, (void)ret_value, (void)error;
	machine_press_power_button(guest->machine);
	control_server_event(guest->server, "POWERDOWN", NULL);
	return true;
}

static bool quit(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlGuest *guest = owner;
	bool force = json_object_get_boolean(json_object_object_get(arguments, "x-umbra-force"));

	(void)ret_value;
	if (!force && !job_let_end(guest->job, error)) {
		g_prefix_error(error, "not ended: ");
		return false;
	}
	guest->quit(guest->owner);
	return true;
}

static const QmpCommand guest_commands[] = {
	{.name = "query-name", .run = query_name},
	{.name = "query-status", .run = query_status},
	{.name = "query-cpus-fast", .run = query_cpus_fast},
	{.name = "query-memory-size-summary", .run = query_memory},
	{.name = "stop", .run = stop},
	{.name = "cont", .run = cont},
	{.name = "system_powerdown", .run = system_powerdown},
	{.name = "quit", .run = quit, .arguments = {{"x-umbra-force", json_type_boolean, true}}},
};

void control_guest_attach(ControlGuest *guest)
{
	control_server_add_commands(guest->server, guest_commands, G_N_ELEMENTS(guest_commands),
				    guest);
}

/*
 * QEMU's ShutdownCause words (qapi/run-state.json). umbra does not boot a guest
 * anew, so a reset is told as QEMU does under -no-reboot.
 */
static const struct {
	MachineEndKind kind;
	bool guest;
	const char *reason;
} causes[] = {
	{MACHINE_END_POWER_OFF, true, "guest-shutdown"},
	{MACHINE_END_RESET, true, "guest-reset"},
	{MACHINE_END_TRIPLE_FAULT, true, "guest-reset"},
	{MACHINE_END_INTERNAL_ERROR, false, "host-error"},
	{MACHINE_END_FAIL_ENTRY, false, "host-error"},
	{MACHINE_END_FAILED, false, "host-error"},
};

void control_guest_announce_end(const ControlGuest *guest, const MachineEnd *end,
				const char *reason)
{
	json_object *data = json_object_new_object();
	bool by_guest = false;

	for (size_t i = 0; i < G_N_ELEMENTS(causes); i++)
		if (causes[i].kind == end->kind) {
			by_guest = causes[i].guest;
			reason = causes[i].reason;
		}
	json_object_object_add(data, "guest", json_object_new_boolean(by_guest));
	json_object_object_add(data, "reason", json_object_new_string(reason));
	control_server_event(guest->server, "SHUTDOWN", data);
}
