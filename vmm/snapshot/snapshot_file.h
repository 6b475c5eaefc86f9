// SPDX-License-Identifier: MIT
/* One file of a chain, open to be read. */
#ifndef UMBRA_SNAPSHOT_SNAPSHOT_FILE_H
#define UMBRA_SNAPSHOT_SNAPSHOT_FILE_H

#include "snapshot/file_format.h"

#include <sys/types.h>

typedef struct SnapshotFile {
	char *path;
	int fd;
	dev_t device;
	ino_t inode;
	FileHeader header;
	unsigned n_records;
} SnapshotFile;

/* Header, index, and that the parts lie where they may; neither tree nor RAM. */
SnapshotFile *snapshot_file_open(const char *path, GError **error);
void snapshot_file_close(SnapshotFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SnapshotFile, snapshot_file_close)

/* Has it the length that it had when it was opened? UMBRA_ERROR_INPUT: no. */
bool snapshot_file_still_whole(const SnapshotFile *file, GError **error);

/* The file and all that it continues, the newest first; of SnapshotFile. */
GPtrArray *snapshot_chain_open(const char *path, GError **error);

/* Exactly so many bytes; UMBRA_ERROR_INPUT if the file ends before. */
bool snapshot_file_read(const SnapshotFile *file, void *to, size_t size, uint64_t offset,
			GError **error);
/* The tree's bytes, with the right checksum. */
GBytes *snapshot_file_read_tree(const SnapshotFile *file, GError **error);

typedef bool (*RecordVisit)(const SnapshotFile *file, const FileRecord *record, void *data,
			    GError **error);

/* All records in order, each checked; at the end, the checksum of all. */
bool snapshot_file_each_record(const SnapshotFile *file, RecordVisit visit, void *data,
			       GError **error);
/* The record for this place in RAM. *ret_found is false if there is none. */
bool snapshot_file_find_record(const SnapshotFile *file, uint64_t offset, FileRecord *ret_record,
			       bool *ret_found, GError **error);

/* UMBRA_ERROR_INPUT: "snapshot 'PATH': …" */
bool snapshot_file_fail(const SnapshotFile *file, GError **error, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

#endif
