// SPDX-License-Identifier: MIT
#include "control/state.h"

#include "inspect/state_json.h"
#include "snapshot/state_tree.h"

static bool tell_state(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	const ControlGuest *guest = owner;

	(void)arguments;
	if (!control_guest_hold(guest, error))
		return false;
	g_autoptr(MachineState) state = machine_save(guest->machine, error);

	control_guest_release(guest);
	g_autoptr(GBytes) tree = state ? state_tree_write(state, error) : NULL;

	if (!tree)
		return false;
	*ret_value = state_to_json(tree);
	return true;
}

static const QmpCommand commands[] = {
	{.name = "x-umbra-state", .run = tell_state},
};

void control_state_attach(ControlGuest *guest)
{
	control_server_add_commands(guest->server, commands, G_N_ELEMENTS(commands), guest);
}
