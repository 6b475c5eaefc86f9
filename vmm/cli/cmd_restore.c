// SPDX-License-Identifier: MIT
/*
 * umbra restore: parse → check against this host → only then KVM → session. The guest's
 * RAM is the file's, mapped privately: a page is read when the guest first touches it, and
 * what the guest writes stays in this process. So the file must stay as it is.
 */
#include "cli/cli.h"
#include "cli/run_options.h"
#include "cli/session.h"
#include "cli/terminal.h"

#include "base/error.h"
#include "kvm/host_check.h"
#include "snapshot/snapshot.h"

#include <sys/stat.h>

typedef struct Restore {
	const RunOptions *options;
	Snapshot *snapshot;
	int ram_fd;
	uint64_t ram_offset;
	struct stat opened; /* the file that holds RAM, as it was */
} Restore;

/* All that speaks against it is told, each in a line. */
static bool check(const Restore *restore, GError **error)
{
	const RunOptions *options = restore->options;
	const MachineState *state = snapshot_state(restore->snapshot);
	HostPaths paths = {.kvm = options->config.kvm_path};
	g_auto(HostInfo) host = {0};
	g_autoptr(GPtrArray) problems = host_check(&paths, state, &host);

	for (guint i = 0; i < problems->len; i++) {
		const StateProblem *problem = g_ptr_array_index(problems, i);

		if (problem->vcpu < 0)
			cli_warn("%s", problem->text);
		else
			cli_warn("vcpu %d: %s", problem->vcpu, problem->text);
	}
	return problems->len == 0 || umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
						"%s: cannot be restored here", options->file);
}

static GuestMemory *map_ram(Restore *restore, GError **error)
{
	const MachineState *state = snapshot_state(restore->snapshot);

	restore->ram_fd = snapshot_ram_file(restore->snapshot, &restore->ram_offset);
	g_autoptr(GuestMemory) memory = guest_memory_create_from_file(
		state->memory, restore->ram_fd, restore->ram_offset, error);

	if (!memory || !snapshot_apply_increments(restore->snapshot, memory->base, error))
		return NULL;
	/* If it fails, changes are not told; nothing else depends on it. */
	(void)fstat(restore->ram_fd, &restore->opened);
	return g_steal_pointer(&memory);
}

static Machine *make_machine(Restore *restore, const MachineSink *sink, GError **error)
{
	const MachineState *state = snapshot_state(restore->snapshot);
	GuestMemory *memory = map_ram(restore, error);
	Machine *machine =
		memory ? machine_create_like(state, &restore->options->config, memory, sink, error)
		       : NULL;

	return machine && machine_load(machine, state, MACHINE_CLOCK_STANDS, error) ? machine
										    : NULL;
}

/* Why KVM could not reach memory that was there: somebody took the file away from under it. */
static char *explain(void *owner)
{
	const Restore *restore = owner;
	struct stat now;

	if (fstat(restore->ram_fd, &now) < 0 ||
	    (now.st_size == restore->opened.st_size &&
	     now.st_mtim.tv_sec == restore->opened.st_mtim.tv_sec &&
	     now.st_mtim.tv_nsec == restore->opened.st_mtim.tv_nsec))
		return NULL;
	return g_strdup_printf("the guest's memory is in %s (or the file that it continues), and "
			       "that was changed while the guest ran: restore from a file that "
			       "nobody writes to",
			       restore->options->file);
}

static int run(Restore *restore, RunOptions *options, GError **error)
{
	g_autofree char *gone = g_strdup_printf(
		"umbra: a part of the guest's memory is gone: %s (or the file that it continues) "
		"was truncated, or cannot be read any more\n",
		options->file);
	g_autoptr(Session) session = session_create();
	MachineSink sink = session_sink(session);
	Machine *machine = make_machine(restore, &sink, error);

	if (!machine)
		return EXIT_TROUBLE;
	terminal_on_lost_memory(gone, EXIT_CANNOT_GO_ON);
	options->session.explain = explain;
	options->session.owner = restore;
	return session_run(session, machine, &options->session, error);
}

int cmd_restore(int argc, char **argv)
{
	g_auto(RunOptions) options = {0};
	g_autoptr(GError) error = NULL;
	Restore restore = {.options = &options, .ram_fd = -1};

	if (!restore_options_parse(&options, argc, argv, &error))
		return cli_error(error);
	g_autoptr(Snapshot) snapshot = snapshot_open(options.file, &error);

	restore.snapshot = snapshot;
	if (!snapshot || !check(&restore, &error))
		return cli_error(error);
	int status = run(&restore, &options, &error);

	return error ? cli_error(error) : status;
}
