// SPDX-License-Identifier: MIT
#include "snapshot/snapshot.h"

#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/ram_write.h"
#include "snapshot/save_target.h"
#include "snapshot/snapshot_file.h"
#include "snapshot/state_tree.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

/* "../other/full.snap": both folders without symbolic links, which ".." would not follow back. */
static char *relative_path(const char *from_folder, const char *to)
{
	g_auto(GStrv) from = g_strsplit(from_folder, "/", -1);
	g_auto(GStrv) parts = g_strsplit(to, "/", -1);
	g_autoptr(GString) path = g_string_new(NULL);
	unsigned same = 0;

	while (from[same] && parts[same] && strcmp(from[same], parts[same]) == 0)
		same++;
	for (unsigned i = same; from[i]; i++)
		if (from[i][0] != '\0')
			g_string_append(path, "../");
	for (unsigned i = same; parts[i]; i++)
		g_string_append_printf(path, "%s%s", parts[i], parts[i + 1] ? "/" : "");
	return g_string_free(g_steal_pointer(&path), FALSE);
}

static bool record_name(FileHeader *header, const char *path, const char *parent, GError **error)
{
	g_autofree char *folder_name = g_path_get_dirname(path);
	char *folder = realpath(folder_name, NULL);
	char *target = realpath(parent, NULL);
	g_autofree char *name = folder && target ? relative_path(folder, target) : NULL;
	bool good = name && strlen(name) < sizeof(header->parent);

	free(folder);
	free(target);
	for (const char *c = name; good && *c; c++)
		good = !g_ascii_iscntrl(*c);
	if (!good)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "snapshot '%s': cannot record where '%s' is", path, parent);
	g_strlcpy(header->parent, name, sizeof(header->parent));
	return true;
}

/* Whoever replaces a file that the new one needs would be left with neither. */
static bool check_not_in_chain(const GPtrArray *chain, const char *path, GError **error)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return true;
	for (unsigned i = 0; i < chain->len; i++) {
		const SnapshotFile *file = chain->pdata[i];

		if (file->device == status.st_dev && file->inode == status.st_ino)
			return umbra_fail(
				error, UMBRA_ERROR_FAILED,
				"snapshot '%s': the new snapshot needs this file and must "
				"not replace it: give another name",
				path);
	}
	return true;
}

static bool link_parent(FileHeader *header, const char *path, const char *parent,
			const SnapshotRam *ram, GError **error)
{
	g_autoptr(GPtrArray) chain = snapshot_chain_open(parent, error);
	const SnapshotFile *newest;

	if (!chain || !check_not_in_chain(chain, path, error))
		return false;
	newest = chain->pdata[0];
	if (chain->len == SNAPSHOT_CHAIN_MAX)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "snapshot '%s': '%s' is number %u of a chain: take a full one",
				  path, parent, SNAPSHOT_CHAIN_MAX);
	if (newest->header.ram_size != ram->size)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "snapshot '%s': '%s' has another size of memory", path, parent);
	memcpy(header->parent_id, newest->header.id, SNAPSHOT_ID_SIZE);
	return record_name(header, path, parent, error);
}

static bool make_id(FileHeader *header, const char *path, GError **error)
{
	if (getrandom(header->id, sizeof(header->id), 0) != sizeof(header->id))
		return umbra_fail_errno(error, errno, "snapshot '%s': cannot make an id", path);
	header->id[0] |= 1; /* none is all zero */
	return true;
}

/* Where everything goes: the index gets the room that it needs at most, which costs nothing. */
static void lay_out(FileHeader *header, size_t tree_size, uint64_t ram_size)
{
	uint64_t index_max = file_records_max(ram_size) * sizeof(FileRecord);

	memcpy(header->magic, FILE_MAGIC, sizeof(header->magic));
	header->version = FILE_VERSION;
	header->compatible_version = FILE_COMPATIBLE_VERSION;
	header->tree.offset = sizeof(*header);
	header->tree.length = tree_size;
	header->index.offset = round_up(header->tree.offset + tree_size, 8);
	header->ram_offset = round_up(header->index.offset + index_max, FILE_BLOCK);
	header->ram_size = ram_size;
	header->length = header->ram_offset + ram_size;
}

static bool write_all(SaveTarget *target, FileHeader *header, GBytes *tree, const SnapshotRam *ram,
		      const SnapshotProgress *progress, SnapshotSummary *ret_summary,
		      GError **error)
{
	gsize size;
	const void *data = g_bytes_get_data(tree, &size);

	/* First, because it tells early of a limit, or of a file system that is too small. */
	if (ftruncate(target->fd, (off_t)header->length) < 0)
		return umbra_fail_errno(error, errno,
					"snapshot '%s': cannot make it %" G_GUINT64_FORMAT
					" bytes long",
					target->path, header->length);
	header->tree.checksum = bytes_checksum(data, size, 0);
	if (!save_target_write(target, data, size, header->tree.offset, error) ||
	    !ram_write(target, ram, progress, header, &ret_summary->ram_bytes, error))
		return false;
	header->checksum = file_header_checksum(header);
	memcpy(ret_summary->id, header->id, sizeof(header->id));
	ret_summary->state_bytes = size;
	return save_target_write(target, header, sizeof(*header), 0, error);
}

bool snapshot_save(const char *path, const MachineState *state, const SnapshotRam *ram,
		   const char *parent, const SnapshotProgress *progress,
		   SnapshotSummary *ret_summary, GError **error)
{
	g_autofree FileHeader *header = g_new0(FileHeader, 1);
	g_auto(SaveTarget) target = {.folder = -1, .fd = -1};
	g_autoptr(GBytes) tree = NULL;
	SnapshotSummary summary = {0};

	g_assert(ram->size == state->memory && ram->size % SNAPSHOT_PAGE == 0);
	g_assert(parent || !ram->dirty);
	if (parent && !link_parent(header, path, parent, ram, error))
		return false;
	tree = state_tree_write(state, error);
	if (!tree) {
		g_prefix_error(error, "snapshot '%s': ", path);
		return false;
	}
	if (!make_id(header, path, error) || !save_target_init(&target, path, error))
		return false;
	lay_out(header, g_bytes_get_size(tree), ram->size);
	if (!write_all(&target, header, tree, ram, progress, &summary, error) ||
	    !save_target_commit(&target, error))
		return false;
	if (ret_summary)
		*ret_summary = summary;
	return true;
}
