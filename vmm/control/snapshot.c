// SPDX-License-Identifier: MIT
/*
 * The guest stands still from the first look at its registers to the last page of RAM:
 * what is in the file was all there in one moment. It goes on while the file is brought
 * to disk and gets its name.
 *
 * After a snapshot the log of written pages stays on, for the next one to store what has
 * changed since. A snapshot that fails changes nothing of that: the pages taken for it
 * are put back, and the one before it can still be continued.
 */
#include "control/snapshot.h"

#include "base/error.h"
#include "machine/dirty.h"
#include "snapshot/snapshot.h"

#include <string.h>

struct ControlSnapshots {
	ControlGuest *guest;
	/* What was written since the snapshot `last`; NULL: nobody looked. The job's, if one runs.
	 */
	DirtySet *written;
	uint8_t last[SNAPSHOT_ID_SIZE];
};

/* When each stage was over; g_get_monotonic_time(). */
typedef struct Times {
	gint64 begin, paused, state, log, resumed, end;
} Times;

typedef struct SnapshotJob {
	ControlSnapshots *snapshots;
	char *path;
	char *since; /* NULL: all of RAM */
	bool track;
	Job *job;
	bool held; /* the guest stands still */
	Times times;
	SnapshotSummary summary;
} SnapshotJob;

static void let_go(SnapshotJob *work)
{
	if (!work->held)
		return;
	work->held = false;
	machine_release(work->snapshots->guest->machine);
	work->times.resumed = g_get_monotonic_time();
}

static bool report_progress(void *owner, uint64_t done, uint64_t total)
{
	SnapshotJob *work = owner;

	job_progress(work->job, done, total);
	if (job_is_cancelled(work->job))
		return false;
	/* All of RAM has been written: snapshot_save() does not look at it any more. */
	if (done == total)
		let_go(work);
	return true;
}

/* Is --since the one that `written` counts from? */
static bool check_since(const SnapshotJob *work, GError **error)
{
	const ControlSnapshots *snapshots = work->snapshots;

	if (!work->since)
		return true;
	if (!snapshots->written)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "nobody has noted what this guest wrote since %s: the first "
				  "snapshot of a process must be a full one, and without "
				  "no-track",
				  work->since);
	g_autoptr(Snapshot) since = snapshot_open(work->since, error);

	if (!since)
		return false;
	if (memcmp(snapshot_id(since), snapshots->last, SNAPSHOT_ID_SIZE) != 0)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "%s is not the last snapshot of this guest: only that one can be "
				  "continued",
				  work->since);
	return true;
}

static bool store(SnapshotJob *work, const MachineState *state, const uint64_t *written,
		  GError **error)
{
	const GuestMemory *memory = machine_memory(work->snapshots->guest->machine);
	const SnapshotRamFile file = {.fd = memory->file, .offset = memory->file_offset};
	SnapshotRam ram = {
		.bytes = memory->base,
		.size = memory->size,
		.dirty = work->since ? written : NULL,
		.anonymous = !memory->from_file,
		.file = memory->file >= 0 ? &file : NULL,
	};
	SnapshotProgress progress = {.report = report_progress, .owner = work};

	return snapshot_save(work->path, state, &ram, work->since, &progress, &work->summary,
			     error);
}

/* The guest stands still. Leaves `written` as a success or a failure wants it. */
static bool save(SnapshotJob *work, GError **error)
{
	ControlSnapshots *snapshots = work->snapshots;
	Machine *machine = snapshots->guest->machine;
	g_autoptr(MachineState) state = machine_save(machine, error);
	g_autofree uint64_t *written = NULL;
	bool first = !snapshots->written;

	if (!state)
		return false;
	work->times.state = g_get_monotonic_time();
	/* After the state: KVM writes a little into RAM when it puts a vCPU away. */
	if (first && work->track) {
		snapshots->written = machine_dirty_start(machine, error);
		if (!snapshots->written)
			return false;
	} else if (!first) {
		if (!machine_dirty_collect(machine, error))
			return false;
		written = dirty_set_take(snapshots->written);
	}
	work->times.log = g_get_monotonic_time();
	bool done = store(work, state, written, error);

	if (done)
		memcpy(snapshots->last, work->summary.id, SNAPSHOT_ID_SIZE);
	else if (written)
		dirty_set_put_back(snapshots->written, written);
	if (snapshots->written && (done ? !work->track : first))
		machine_dirty_stop(machine, g_steal_pointer(&snapshots->written));
	return done;
}

static bool run(Job *job, void *data, GError **error)
{
	SnapshotJob *work = data;
	Machine *machine = work->snapshots->guest->machine;

	work->job = job;
	if (!check_since(work, error))
		return false;
	work->times.begin = g_get_monotonic_time();
	if (!machine_hold(machine))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "The guest has ended");
	work->held = true;
	work->times.paused = g_get_monotonic_time();
	bool done = save(work, error);

	let_go(work);
	work->times.end = g_get_monotonic_time();
	return done;
}

static void add_us(json_object *to, const char *name, gint64 begin, gint64 end)
{
	json_object_object_add(to, name, json_object_new_int64(end - begin));
}

static void describe(void *data, JobStatus status, json_object *event)
{
	const SnapshotJob *work = data;
	const Times *times = &work->times;

	json_object_object_add(event, "path", json_object_new_string(work->path));
	if (status != JOB_COMPLETED)
		return;
	json_object *stopped = json_object_new_object();

	add_us(stopped, "total", times->begin, times->resumed);
	add_us(stopped, "pause", times->begin, times->paused);
	add_us(stopped, "state", times->paused, times->state);
	add_us(stopped, "log", times->state, times->log);
	add_us(stopped, "ram", times->log, times->resumed);
	json_object_object_add(event, "stopped_us", stopped);
	add_us(event, "sync_us", times->resumed, times->end);
	json_object_object_add(event, "stored",
			       json_object_new_int64((int64_t)work->summary.ram_bytes));
}

static void job_free(void *data)
{
	SnapshotJob *work = data;

	g_free(work->path);
	g_free(work->since);
	g_free(work);
}

static const JobKind snapshot_kind = {
	.name = "a snapshot",
	.event = "X_UMBRA_SNAPSHOT",
	.describe = describe,
	.run = run,
	.free = job_free,
};

/* The absolute path that an argument gives, in *ret_path (g_free); NULL where there is none. */
static bool path_argument(json_object *arguments, const char *name, char **ret_path, GError **error)
{
	json_object *argument = json_object_object_get(arguments, name);
	const char *path = json_object_get_string(argument);

	if (!argument)
		return true;
	if (!g_path_is_absolute(path) ||
	    strlen(path) != (size_t)json_object_get_string_len(argument))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: '%s' is not an absolute path",
				  name, path);
	*ret_path = g_strdup(path);
	return true;
}

static bool snapshot(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	ControlSnapshots *snapshots = owner;
	g_autofree char *path = NULL, *since = NULL;

	(void)ret_value;
	if (!path_argument(arguments, "path", &path, error) ||
	    !path_argument(arguments, "since", &since, error))
		return false;
	SnapshotJob *work = g_new0(SnapshotJob, 1);

	work->snapshots = snapshots;
	work->path = g_steal_pointer(&path);
	work->since = g_steal_pointer(&since);
	work->track = !json_object_get_boolean(json_object_object_get(arguments, "no-track"));
	return job_start(snapshots->guest->job, &snapshot_kind, work, error);
}

static bool snapshot_cancel(void *owner, json_object *arguments, json_object **ret_value,
			    GError **error)
{
	ControlSnapshots *snapshots = owner;
	Job *job = snapshots->guest->job;

	(void)arguments, (void)ret_value;
	if (job_running(job) != &snapshot_kind)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "no snapshot is under way");
	job_cancel(job);
	return true;
}

static const QmpCommand commands[] = {
	{.name = "x-umbra-snapshot",
	 .run = snapshot,
	 .arguments = {{"path", json_type_string, false},
		       {"since", json_type_string, true},
		       {"no-track", json_type_boolean, true}}},
	{.name = "x-umbra-snapshot-cancel", .run = snapshot_cancel},
};

ControlSnapshots *control_snapshots_attach(ControlGuest *guest)
{
	ControlSnapshots *snapshots = g_new0(ControlSnapshots, 1);

	snapshots->guest = guest;
	control_server_add_commands(guest->server, commands, G_N_ELEMENTS(commands), snapshots);
	return snapshots;
}

void control_snapshots_destroy(ControlSnapshots *snapshots)
{
	/* The set is the machine's; turning the log off would cost more than it is worth here. */
	g_free(snapshots);
}
