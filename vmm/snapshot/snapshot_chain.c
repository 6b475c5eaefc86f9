// SPDX-License-Identifier: MIT
/* A file and those that it continues. */
#include "snapshot/snapshot_file.h"

#include <string.h>

static void close_file(void *file)
{
	snapshot_file_close(file);
}

static bool is_in_chain(const GPtrArray *chain, const uint8_t *id)
{
	for (unsigned i = 0; i < chain->len; i++) {
		const SnapshotFile *file = chain->pdata[i];

		if (memcmp(file->header.id, id, SNAPSHOT_ID_SIZE) == 0)
			return true;
	}
	return false;
}

static bool check_link(const SnapshotFile *child, const SnapshotFile *parent, GError **error)
{
	if (memcmp(child->header.parent_id, parent->header.id, SNAPSHOT_ID_SIZE) != 0)
		return snapshot_file_fail(child, error,
					  "continues another file than '%s' is now: it has been "
					  "replaced since",
					  parent->path);
	if (child->header.ram_size != parent->header.ram_size)
		return snapshot_file_fail(
			child, error, "has another size of memory than '%s', which it continues",
			parent->path);
	return true;
}

static SnapshotFile *open_parent(const GPtrArray *chain, GError **error)
{
	const SnapshotFile *child = chain->pdata[chain->len - 1];
	g_autofree char *folder = g_path_get_dirname(child->path);
	g_autofree char *path = g_build_filename(folder, child->header.parent, NULL);
	g_autoptr(SnapshotFile) parent = NULL;

	if (chain->len == SNAPSHOT_CHAIN_MAX) {
		snapshot_file_fail(child, error, "is number %u of a chain, and it goes on",
				   SNAPSHOT_CHAIN_MAX);
		return NULL;
	}
	if (is_in_chain(chain, child->header.parent_id)) {
		snapshot_file_fail(child, error, "continues a file that continues it");
		return NULL;
	}
	parent = snapshot_file_open(path, error);
	if (!parent) {
		g_prefix_error(error, "snapshot '%s' continues another: ", child->path);
		return NULL;
	}
	return check_link(child, parent, error) ? g_steal_pointer(&parent) : NULL;
}

GPtrArray *snapshot_chain_open(const char *path, GError **error)
{
	g_autoptr(GPtrArray) chain = g_ptr_array_new_with_free_func(close_file);
	SnapshotFile *file = snapshot_file_open(path, error);

	while (file) {
		g_ptr_array_add(chain, file);
		if (file_is_full(&file->header))
			return g_steal_pointer(&chain);
		file = open_parent(chain, error);
	}
	return NULL;
}
