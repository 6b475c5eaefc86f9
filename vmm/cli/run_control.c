// SPDX-License-Identifier: MIT
#include "cli/run_control.h"

#include "cli/cli.h"
#include "control/backtrace.h"
#include "control/inspect.h"
#include "control/registry.h"
#include "control/state.h"

#include <unistd.h>

static bool listen_by_name(RunControl *control, const char *name, GError **error)
{
	g_autofree char *path = registry_path_for(name, error);

	return path && control_server_listen(control->server, path, error);
}

/* Says which option an error is about. */
static bool blame(const char *option, GError **error)
{
	g_prefix_error(error, "%s: ", option);
	return false;
}

/* A name that was asked for, or none of one's own. */
static bool take_name(RunControl *control, const char *asked, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (asked) {
		control->guest.name = asked;
		return (registry_check_name(asked, error) &&
			listen_by_name(control, asked, error)) ||
		       blame("--name", error);
	}
	control->made_up_name = g_strdup_printf("umbra-%d", getpid());
	control->guest.name = control->made_up_name;
	if (!listen_by_name(control, control->guest.name, &why))
		cli_warn("`umbra list` will not show this guest: %s", why->message);
	return true;
}

bool run_control_open(RunControl *control, const RunControlConfig *config, GError **error)
{
	control->server = control_server_create();
	return take_name(control, config->name, error) &&
	       (!config->qmp || control_server_listen(control->server, config->qmp, error) ||
		blame("--qmp", error));
}

void run_control_attach(RunControl *control, Machine *machine, void (*quit)(void *owner),
			void *owner)
{
	control->guest.server = control->server;
	control->guest.machine = machine;
	control->guest.job = job_create(control->server);
	control->guest.quit = quit;
	control->guest.owner = owner;
	control_guest_attach(&control->guest);
	control_backtrace_attach(&control->guest);
	control_inspect_attach(&control->guest);
	control_state_attach(&control->guest);
	control->snapshots = control_snapshots_attach(&control->guest);
	control->migration = control_migration_attach(&control->guest);
}

void run_control_stop_job(RunControl *control)
{
	job_stop(control->guest.job);
}

void run_control_announce_end(const RunControl *control, const MachineEnd *end, const char *reason)
{
	control_guest_announce_end(&control->guest, end, reason);
}

void run_control_finish(RunControl *control)
{
	job_destroy(control->guest.job);
	control_server_destroy(control->server);
	control_migration_destroy(control->migration);
	control_snapshots_destroy(control->snapshots);
	g_free(control->made_up_name);
	*control = (RunControl){0};
}
