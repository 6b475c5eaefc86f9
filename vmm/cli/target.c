// SPDX-License-Identifier: MIT
#include "cli/target.h"

#include "base/error.h"
#include "control/registry.h"
#include "inspect/state_json.h"
#include "snapshot/state_tree.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool is_guest(const char *name)
{
	g_autofree char *socket = strchr(name, '/') ? NULL : registry_find(name);

	return socket != NULL;
}

static bool open_path(Target *target, GError **error)
{
	struct stat status;

	if (stat(target->name, &status) < 0)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "%s: no guest of that name (`umbra list` shows who runs), and no "
				  "snapshot or socket: %s",
				  target->name, g_strerror(errno));
	if (S_ISREG(status.st_mode))
		target->snapshot = snapshot_open(target->name, error);
	else if (S_ISSOCK(status.st_mode))
		target->client = client_open(target->name, error);
	else
		umbra_fail(error, UMBRA_ERROR_USAGE, "%s: neither a snapshot nor a guest's socket",
			   target->name);
	return target->snapshot || target->client;
}

bool target_open(const char *name, Target *ret_target, GError **error)
{
	*ret_target = (Target){.name = name};
	if (!is_guest(name))
		return open_path(ret_target, error);
	ret_target->client = client_open(name, error);
	return ret_target->client != NULL;
}

void target_close(Target *target)
{
	g_clear_pointer(&target->client, client_close);
	g_clear_pointer(&target->snapshot, snapshot_close);
	g_clear_pointer(&target->live, machine_state_destroy);
}

static MachineState *ask_state(const Target *target, GError **error)
{
	g_autoptr(json_object) answer =
		client_execute(target->client, "x-umbra-state", NULL, error);
	gsize size;

	if (!answer)
		return NULL;
	g_autoptr(GBytes) tree = state_from_json(answer, error);
	const void *data = tree ? g_bytes_get_data(tree, &size) : NULL;
	MachineState *state = tree ? state_tree_read(data, size, error) : NULL;

	if (!state)
		g_prefix_error(error, "%s: ", target->name);
	return state;
}

const MachineState *target_state(Target *target, GError **error)
{
	if (target->snapshot)
		return snapshot_state(target->snapshot);
	if (!target->live)
		target->live = ask_state(target, error);
	return target->live;
}

char *target_lost_text(const Target *a, const Target *b)
{
	g_autofree char *names =
		b ? g_strdup_printf("%s or %s", a->name, b->name) : g_strdup(a->name);

	return g_strdup_printf("umbra: %s (or a file that it continues) was truncated while it was "
			       "read, or cannot be read any more: read it while nobody writes to "
			       "it\n",
			       names);
}

GuestMemory *target_memory(const Target *target, GError **error)
{
	uint64_t offset, size = snapshot_state(target->snapshot)->memory;
	int fd = snapshot_ram_file(target->snapshot, &offset);
	g_autoptr(GuestMemory) memory = guest_memory_create_from_file(size, fd, offset, error);

	if (!memory || !snapshot_apply_increments(target->snapshot, memory->base, error)) {
		g_prefix_error(error, "%s: ", target->name);
		return NULL;
	}
	return g_steal_pointer(&memory);
}

const char *target_source(const Target *target)
{
	return target->client ? "live" : "snapshot";
}
