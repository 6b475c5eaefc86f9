// SPDX-License-Identifier: MIT
#include "control/backtrace.h"

#include "base/error.h"
#include "inspect/backtrace_view.h"
#include "mem/stack_walk.h"

#define DEFAULT_LIMIT 1024

static bool add_vcpu(const ControlGuest *guest, unsigned id, unsigned limit, json_object *to,
		     GError **error)
{
	VcpuView view;

	if (!machine_view_vcpu(guest->machine, id, &view, error))
		return false;
	g_autoptr(Backtrace) backtrace = stack_walk(machine_memory(guest->machine), &view, limit);

	json_object_array_add(to, backtrace_to_json(backtrace, NULL));
	return true;
}

static bool add_all(const ControlGuest *guest, json_object *arguments, json_object *to,
		    GError **error)
{
	json_object *cpu = json_object_object_get(arguments, "cpu");
	json_object *limit = json_object_object_get(arguments, "limit");
	int64_t max = limit ? json_object_get_int64(limit) : DEFAULT_LIMIT;

	if (max < 1 || max > BACKTRACE_MAX)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "limit is out of range: 1 to %u",
				  BACKTRACE_MAX);
	if (cpu) {
		int64_t id = json_object_get_int64(cpu);

		return add_vcpu(guest, id < 0 || id > UINT16_MAX ? UINT16_MAX : (unsigned)id,
				(unsigned)max, to, error);
	}
	for (unsigned id = 0; id < machine_vcpu_count(guest->machine); id++)
		if (!add_vcpu(guest, id, (unsigned)max, to, error))
			return false;
	return true;
}

static bool backtrace(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlGuest *guest = owner;
	json_object *vcpus = json_object_new_array();

	if (machine_ram(guest->machine) == MACHINE_RAM_STUCK) {
		json_object_put(vcpus);
		return machine_ram_must_be_here(guest->machine, error);
	}
	*ret_value = json_object_new_object();
	json_object_object_add(*ret_value, "version", json_object_new_int(1));
	json_object_object_add(*ret_value, "source", json_object_new_string("live"));
	json_object_object_add(*ret_value, "vcpus", vcpus);
	if (!control_guest_hold(guest, error))
		return false;
	bool done = add_all(guest, arguments, vcpus, error);

	control_guest_release(guest);
	return done;
}

static const QmpCommand commands[] = {
	{.name = "x-umbra-backtrace",
	 .run = backtrace,
	 .arguments = {{"cpu", json_type_int, true}, {"limit", json_type_int, true}}},
};

void control_backtrace_attach(ControlGuest *guest)
{
	control_server_add_commands(guest->server, commands, G_N_ELEMENTS(commands), guest);
}
