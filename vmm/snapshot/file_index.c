// SPDX-License-Identifier: MIT
/* The index of one file: read in pieces, so that its size costs no memory. */
#include "snapshot/snapshot_file.h"

#include <inttypes.h>
#include <string.h>

static bool bits_are_valid(const FileHeader *header, const FileRecord *record)
{
	uint64_t size = file_block_size(header->ram_size, record->offset);
	uint64_t known = 0;

	for (unsigned i = 0; i < FILE_BLOCK_WORDS; i++) {
		known |= record->known[i];
		if (record->stored[i] & ~record->known[i])
			return false;
		if (file_is_full(header) && record->stored[i] != record->known[i])
			return false;
	}
	for (unsigned page = size / SNAPSHOT_PAGE; page < FILE_BLOCK_PAGES; page++)
		if (file_has_page(record->known, page))
			return false;
	return known != 0;
}

static bool check_record(const SnapshotFile *file, const FileRecord *record, GError **error)
{
	if (record->offset % FILE_BLOCK != 0 || record->offset >= file->header.ram_size ||
	    !bits_are_valid(&file->header, record))
		return snapshot_file_fail(
			file, error,
			"the index is damaged: what it says of memory at 0x%" PRIx64 " cannot be",
			record->offset);
	return true;
}

static bool read_records(const SnapshotFile *file, FileRecord *records, unsigned first, unsigned n,
			 GError **error)
{
	uint64_t offset = file->header.index.offset + (uint64_t)first * sizeof(*records);

	return snapshot_file_read(file, records, n * sizeof(*records), offset, error);
}

bool snapshot_file_each_record(const SnapshotFile *file, RecordVisit visit, void *data,
			       GError **error)
{
	g_autofree FileRecord *records =
		g_new(FileRecord, MIN(file->n_records, FILE_PIECE_RECORDS));
	uint64_t sum = 0, next = 0;

	for (unsigned done = 0, n; done < file->n_records; done += n) {
		n = MIN(file->n_records - done, FILE_PIECE_RECORDS);
		if (!read_records(file, records, done, n, error))
			return false;
		for (unsigned i = 0; i < n; i++) {
			if (!check_record(file, &records[i], error))
				return false;
			if (records[i].offset < next)
				return snapshot_file_fail(file, error,
							  "the index is damaged: not in order");
			next = records[i].offset + FILE_BLOCK;
			if (!visit(file, &records[i], data, error))
				return false;
		}
		sum = file_piece_checksum(records, n, sum);
	}
	return sum == file->header.index.checksum ||
	       snapshot_file_fail(file, error, "the index is damaged: wrong checksum");
}

bool snapshot_file_find_record(const SnapshotFile *file, uint64_t offset, FileRecord *ret_record,
			       bool *ret_found, GError **error)
{
	unsigned low = 0, high = file->n_records;

	*ret_found = false;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (!read_records(file, ret_record, middle, 1, error) ||
		    !check_record(file, ret_record, error))
			return false;
		if (offset < ret_record->offset) {
			high = middle;
		} else if (offset - ret_record->offset >= FILE_BLOCK) {
			low = middle + 1;
		} else {
			*ret_found = true;
			return true;
		}
	}
	return true;
}
