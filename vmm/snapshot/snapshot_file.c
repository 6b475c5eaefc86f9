// SPDX-License-Identifier: MIT
#include "snapshot/snapshot_file.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/layout.h"
#include "snapshot/state_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool snapshot_file_fail(const SnapshotFile *file, GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *what = g_strdup_vprintf(format, args);
	va_end(args);
	return umbra_fail(error, UMBRA_ERROR_INPUT, "snapshot '%s': %s", file->path, what);
}

bool snapshot_file_read(const SnapshotFile *file, void *to, size_t size, uint64_t offset,
			GError **error)
{
	char *at = to;

	while (size > 0) {
		ssize_t n = pread(file->fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return umbra_fail_errno(error, errno, "snapshot '%s': cannot read it",
						file->path);
		if (n == 0)
			return snapshot_file_fail(file, error, "ends before it should: truncated");
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return true;
}

/* What has nothing to do with us is told apart from what is damaged. */
static bool check_identity(const SnapshotFile *file, GError **error)
{
	const FileHeader *header = &file->header;

	if (memcmp(header->magic, FILE_MAGIC, sizeof(header->magic)) != 0)
		return snapshot_file_fail(file, error, "is no snapshot of umbra");
	if (header->checksum != file_header_checksum(header))
		return snapshot_file_fail(file, error, "the header is damaged: wrong checksum");
	if (header->compatible_version > FILE_VERSION)
		return snapshot_file_fail(file, error,
					  "written by a newer umbra: format %" PRIu32
					  ", of which this one reads up to %u",
					  header->compatible_version, FILE_VERSION);
	if (header->compatible_version == 0 || header->version < header->compatible_version)
		return snapshot_file_fail(file, error,
					  "the header's versions contradict each other");
	return true;
}

/* Parts follow one another: each begins where the one before may have ended, or later. */
static bool check_part(const SnapshotFile *file, const char *name, const FilePart *part,
		       uint64_t *position, GError **error)
{
	if (part->offset < *position || part->offset > file->header.length ||
	    part->length > file->header.length - part->offset || part->offset % 8 != 0)
		return snapshot_file_fail(file, error,
					  "the %s, said to be %" PRIu64 " bytes at %" PRIu64
					  ", lies where it must not",
					  name, part->length, part->offset);
	*position = part->offset + part->length;
	return true;
}

static bool check_parts(const SnapshotFile *file, GError **error)
{
	const FileHeader *header = &file->header;
	const FilePart ram = {.offset = header->ram_offset, .length = header->ram_size};
	uint64_t position = sizeof(*header);

	if (!check_part(file, "state", &header->tree, &position, error) ||
	    !check_part(file, "index", &header->index, &position, error) ||
	    !check_part(file, "memory", &ram, &position, error))
		return false;
	if (position != header->length)
		return snapshot_file_fail(file, error, "something follows the memory");
	if (header->tree.length > STATE_TREE_MAX)
		return snapshot_file_fail(file, error, "the state is too large");
	if (ram.offset % FILE_BLOCK != 0)
		return snapshot_file_fail(
			file, error, "the memory does not begin at a multiple of %u", FILE_BLOCK);
	if (ram.length == 0 || ram.length > LAYOUT_RAM_MAX || ram.length % SNAPSHOT_PAGE != 0)
		return snapshot_file_fail(
			file, error, "%" PRIu64 " bytes of memory are out of range", ram.length);
	if (header->index.length % sizeof(FileRecord) != 0 ||
	    header->index.length / sizeof(FileRecord) > file_records_max(ram.length))
		return snapshot_file_fail(file, error,
					  "an index of %" PRIu64 " bytes does not fit the memory",
					  header->index.length);
	return true;
}

static bool check_parent(const SnapshotFile *file, GError **error)
{
	static const uint8_t none[SNAPSHOT_ID_SIZE];
	const FileHeader *header = &file->header;
	const char *end = memchr(header->parent, '\0', sizeof(header->parent));

	if (!end || (end == header->parent) != file_is_full(header) || header->parent[0] == '/')
		return snapshot_file_fail(file, error,
					  "the name of the file it continues is invalid");
	/* It will be shown to people. */
	for (const char *c = header->parent; c < end; c++)
		if (g_ascii_iscntrl(*c))
			return snapshot_file_fail(file, error,
						  "the name of the file it continues is invalid");
	if (memcmp(header->id, none, sizeof(none)) == 0)
		return snapshot_file_fail(file, error, "has no id");
	if (memcmp(header->id, header->parent_id, sizeof(header->id)) == 0)
		return snapshot_file_fail(file, error, "says that it continues itself");
	return true;
}

static bool get_status(const SnapshotFile *file, struct stat *ret_status, GError **error)
{
	return fstat(file->fd, ret_status) == 0 ||
	       umbra_fail_errno(error, errno, "snapshot '%s': cannot look at it", file->path);
}

static bool check_length(const SnapshotFile *file, const struct stat *status, GError **error)
{
	return (uint64_t)status->st_size == file->header.length ||
	       snapshot_file_fail(file, error, "is %" PRIu64 " bytes long and should be %" PRIu64,
				  (uint64_t)status->st_size, file->header.length);
}

bool snapshot_file_still_whole(const SnapshotFile *file, GError **error)
{
	struct stat status;

	return get_status(file, &status, error) && check_length(file, &status, error);
}

static bool read_header(SnapshotFile *file, GError **error)
{
	struct stat status;

	if (!get_status(file, &status, error))
		return false;
	if (!S_ISREG(status.st_mode))
		return snapshot_file_fail(file, error, "is no regular file");
	file->device = status.st_dev;
	file->inode = status.st_ino;
	if ((uint64_t)status.st_size < sizeof(file->header))
		return snapshot_file_fail(file, error, "is no snapshot of umbra: too short");
	if (!snapshot_file_read(file, &file->header, sizeof(file->header), 0, error) ||
	    !check_identity(file, error))
		return false;
	return check_length(file, &status, error) && check_parts(file, error) &&
	       check_parent(file, error);
}

static bool visit_nothing(const SnapshotFile *file, const FileRecord *record, void *data,
			  GError **error)
{
	(void)file, (void)record, (void)data, (void)error;
	return true;
}

SnapshotFile *snapshot_file_open(const char *path, GError **error)
{
	g_autoptr(SnapshotFile) file = g_new0(SnapshotFile, 1);

	file->path = g_strdup(path);
	/* Who names a pipe or a terminal is told so, without waiting for it. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0) {
		umbra_fail_errno(error, errno, "snapshot '%s': cannot open it", path);
		return NULL;
	}
	if (!read_header(file, error))
		return NULL;
	file->n_records = file->header.index.length / sizeof(FileRecord);
	if (!snapshot_file_each_record(file, visit_nothing, NULL, error))
		return NULL;
	return g_steal_pointer(&file);
}

void snapshot_file_close(SnapshotFile *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	g_free(file->path);
	g_free(file);
}

GBytes *snapshot_file_read_tree(const SnapshotFile *file, GError **error)
{
	const FilePart *part = &file->header.tree;
	g_autofree uint8_t *tree = g_malloc(part->length);

	if (!snapshot_file_read(file, tree, part->length, part->offset, error))
		return NULL;
	if (bytes_checksum(tree, part->length, 0) != part->checksum) {
		snapshot_file_fail(file, error, "the state is damaged: wrong checksum");
		return NULL;
	}
	return g_bytes_new_take(g_steal_pointer(&tree), part->length);
}
