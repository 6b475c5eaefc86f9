// SPDX-License-Identifier: MIT
#include "snapshot/snapshot.h"

#include "snapshot/ram_pages.h"
#include "snapshot/ram_read.h"
#include "snapshot/snapshot_file.h"
#include "snapshot/state_tree.h"

struct Snapshot {
	GPtrArray *chain; /* of SnapshotFile, the newest first; the last one is full */
	MachineState *state;
};

static const SnapshotFile *file_at(const Snapshot *snapshot, unsigned i)
{
	return snapshot->chain->pdata[i];
}

static bool read_state(Snapshot *snapshot, GError **error)
{
	const SnapshotFile *newest = file_at(snapshot, 0);
	g_autoptr(GBytes) tree = snapshot_file_read_tree(newest, error);
	const void *data;
	gsize size;

	if (!tree)
		return false;
	data = g_bytes_get_data(tree, &size);
	snapshot->state = state_tree_read(data, size, error);
	if (!snapshot->state) {
		g_prefix_error(error, "snapshot '%s': ", newest->path);
		return false;
	}
	return snapshot->state->memory == newest->header.ram_size ||
	       snapshot_file_fail(newest, error, "state and header differ in the size of memory");
}

/* A file whose state is of no use any more is not fit to be relied on if that is damaged. */
static bool check_older_states(const Snapshot *snapshot, GError **error)
{
	for (unsigned i = 1; i < snapshot->chain->len; i++) {
		g_autoptr(GBytes) tree = snapshot_file_read_tree(file_at(snapshot, i), error);

		if (!tree)
			return false;
	}
	return true;
}

Snapshot *snapshot_open(const char *path, GError **error)
{
	g_autoptr(Snapshot) snapshot = g_new0(Snapshot, 1);

	snapshot->chain = snapshot_chain_open(path, error);
	if (!snapshot->chain || !read_state(snapshot, error) ||
	    !check_older_states(snapshot, error))
		return NULL;
	return g_steal_pointer(&snapshot);
}

void snapshot_close(Snapshot *snapshot)
{
	if (!snapshot)
		return;
	g_clear_pointer(&snapshot->chain, g_ptr_array_unref);
	machine_state_destroy(snapshot->state);
	g_free(snapshot);
}

const MachineState *snapshot_state(const Snapshot *snapshot)
{
	return snapshot->state;
}

const uint8_t *snapshot_id(const Snapshot *snapshot)
{
	return file_at(snapshot, 0)->header.id;
}

bool snapshot_verify_ram(const Snapshot *snapshot, const SnapshotProgress *progress, GError **error)
{
	RamProgress part = {.progress = progress,
			    .total = snapshot->chain->len * snapshot->state->memory};

	for (unsigned i = 0; i < snapshot->chain->len; i++) {
		part.before = i * snapshot->state->memory;
		if (!ram_verify(file_at(snapshot, i), &part, error))
			return false;
	}
	return true;
}

int snapshot_ram_file(const Snapshot *snapshot, uint64_t *ret_offset)
{
	const SnapshotFile *full = file_at(snapshot, snapshot->chain->len - 1);

	*ret_offset = full->header.ram_offset;
	return full->fd;
}

bool snapshot_still_whole(const Snapshot *snapshot, GError **error)
{
	for (unsigned i = 0; i < snapshot->chain->len; i++)
		if (!snapshot_file_still_whole(file_at(snapshot, i), error))
			return false;
	return true;
}

bool snapshot_apply_increments(const Snapshot *snapshot, uint8_t *ram, GError **error)
{
	for (unsigned i = snapshot->chain->len - 1; i > 0; i--)
		if (!ram_apply(file_at(snapshot, i - 1), ram, error))
			return false;
	return true;
}

uint64_t *snapshot_ram_pages(const Snapshot *snapshot, GError **error)
{
	return ram_pages(snapshot->chain, snapshot->state->memory, error);
}

/* The newest file that knows the page has the last word; the full one knows all of them. */
static bool read_page_part(const Snapshot *snapshot, uint64_t offset, uint8_t *to, size_t n,
			   GError **error)
{
	bool known = false;

	for (unsigned i = 0; !known && i < snapshot->chain->len; i++)
		if (!ram_read_page(file_at(snapshot, i), offset, to, n, &known, error))
			return false;
	return true;
}

bool snapshot_read_ram(const Snapshot *snapshot, uint64_t offset, void *to, size_t n,
		       GError **error)
{
	uint8_t *at = to;

	if (offset > snapshot->state->memory || n > snapshot->state->memory - offset)
		return snapshot_file_fail(file_at(snapshot, 0), error,
					  "its memory does not reach that far");
	while (n > 0) {
		size_t part = MIN(n, SNAPSHOT_PAGE - offset % SNAPSHOT_PAGE);

		if (!read_page_part(snapshot, offset, at, part, error))
			return false;
		at += part;
		offset += part;
		n -= part;
	}
	return true;
}
