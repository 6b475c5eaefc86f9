// SPDX-License-Identifier: MIT
#include "snapshot/ram_read.h"

#include "base/bytes.h"
#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

typedef struct RamCheck {
	uint8_t *block; /* FILE_BLOCK bytes, aligned to a page */
	uint64_t next;	/* RAM below has been checked */
	const RamProgress *progress;
} RamCheck;

static bool wrong_sum(const SnapshotFile *file, const FileRecord *record, GError **error)
{
	return snapshot_file_fail(file, error,
				  "the memory is damaged: wrong checksum of what is stored between "
				  "0x%" PRIx64 " and 0x%" PRIx64,
				  record->offset, record->offset + FILE_BLOCK);
}

static bool not_zero(const SnapshotFile *file, uint64_t offset, GError **error)
{
	return snapshot_file_fail(
		file, error, "the memory is damaged: what should be zero at 0x%" PRIx64 " is not",
		offset);
}

/* Where the file has data between these places of RAM; false if there is none. */
static bool find_data(const SnapshotFile *file, uint64_t *from, uint64_t to)
{
	off_t start = (off_t)file->header.ram_offset;
	off_t at = lseek(file->fd, start + (off_t)*from, SEEK_DATA);

	/* A file system that knows no holes has data everywhere. */
	if (at < 0)
		return errno != ENXIO;
	*from = MAX(*from, (uint64_t)(at - start) / FILE_BLOCK * FILE_BLOCK);
	return *from < to;
}

/* Blocks that the index of a full file leaves out. */
static bool check_gap(const SnapshotFile *file, RamCheck *check, uint64_t to, GError **error)
{
	uint64_t at = check->next;

	while (at < to && find_data(file, &at, to)) {
		uint64_t size = file_block_size(file->header.ram_size, at);

		if (!snapshot_file_read(file, check->block, size, file->header.ram_offset + at,
					error))
			return false;
		if (!bytes_are_zero(check->block, size))
			return not_zero(file, at, error);
		at += FILE_BLOCK;
	}
	return true;
}

static bool rest_is_zero(const FileRecord *record, const uint8_t *block, uint64_t size)
{
	for (unsigned page = 0; page < size / SNAPSHOT_PAGE; page++)
		if (!file_has_page(record->stored, page) &&
		    !bytes_are_zero(block + page * SNAPSHOT_PAGE, SNAPSHOT_PAGE))
			return false;
	return true;
}

static bool report(const SnapshotFile *file, const RamCheck *check, GError **error)
{
	const RamProgress *progress = check->progress;

	if (!progress->progress ||
	    progress->progress->report(progress->progress->owner, progress->before + check->next,
				       progress->total))
		return true;
	return umbra_fail(error, UMBRA_ERROR_FAILED, "snapshot '%s': canceled", file->path);
}

static bool check_block(const SnapshotFile *file, const FileRecord *record, void *data,
			GError **error)
{
	uint64_t size = file_block_size(file->header.ram_size, record->offset);
	bool full = file_is_full(&file->header);
	RamCheck *check = data;

	if (full && !check_gap(file, check, record->offset, error))
		return false;
	if (!snapshot_file_read(file, check->block, size, file->header.ram_offset + record->offset,
				error))
		return false;
	if (file_pages_checksum(record->stored, check->block) != record->checksum)
		return wrong_sum(file, record, error);
	if (full && !rest_is_zero(record, check->block, size))
		return not_zero(file, record->offset, error);
	check->next = record->offset + size;
	return report(file, check, error);
}

bool ram_verify(const SnapshotFile *file, const RamProgress *progress, GError **error)
{
	RamCheck check = {.block = aligned_alloc(SNAPSHOT_PAGE, FILE_BLOCK), .progress = progress};
	bool good = snapshot_file_each_record(file, check_block, &check, error) &&
		    (!file_is_full(&file->header) ||
		     check_gap(file, &check, file->header.ram_size, error));

	check.next = file->header.ram_size;
	good = good && report(file, &check, error);
	free(check.block);
	return good;
}

static bool apply_block(const SnapshotFile *file, const FileRecord *record, void *data,
			GError **error)
{
	uint64_t place = file->header.ram_offset + record->offset;
	uint8_t *block = (uint8_t *)data + record->offset;
	unsigned n;

	for (unsigned page = 0; file_next_run(record->stored, &page, &n); page += n)
		if (!snapshot_file_read(file, block + page * SNAPSHOT_PAGE,
					(size_t)n * SNAPSHOT_PAGE, place + page * SNAPSHOT_PAGE,
					error))
			return false;
	if (file_pages_checksum(record->stored, block) != record->checksum)
		return wrong_sum(file, record, error);
	for (unsigned page = 0; page < FILE_BLOCK_PAGES; page++)
		if (file_has_page(record->known, page) && !file_has_page(record->stored, page))
			memset(block + page * SNAPSHOT_PAGE, 0, SNAPSHOT_PAGE);
	return true;
}

bool ram_apply(const SnapshotFile *file, uint8_t *ram, GError **error)
{
	return snapshot_file_each_record(file, apply_block, ram, error);
}

bool ram_read_page(const SnapshotFile *file, uint64_t offset, uint8_t *to, size_t n,
		   bool *ret_known, GError **error)
{
	unsigned page = offset % FILE_BLOCK / SNAPSHOT_PAGE;
	FileRecord record;
	bool found;

	if (!snapshot_file_find_record(file, offset, &record, &found, error))
		return false;
	*ret_known = file_is_full(&file->header) || (found && file_has_page(record.known, page));
	if (!found || !file_has_page(record.stored, page)) {
		memset(to, 0, n);
		return true;
	}
	return snapshot_file_read(file, to, n, file->header.ram_offset + offset, error);
}
