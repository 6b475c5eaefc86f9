// SPDX-License-Identifier: MIT
/*
 * A stopped machine as a file (docs/snapshot-format.md): header, device tree,
 * index of the stored RAM, and RAM itself, each byte at a fixed distance from where
 * it is in RAM, so that it can be mapped. Pages of zeros are holes. An incremental
 * file holds only what changed since its parent.
 */
#ifndef UMBRA_SNAPSHOT_SNAPSHOT_H
#define UMBRA_SNAPSHOT_SNAPSHOT_H

#include "state/machine_state.h"

#define SNAPSHOT_PAGE	   4096u
#define SNAPSHOT_CHAIN_MAX 64u /* files from the newest to the full one */
#define SNAPSHOT_ID_SIZE   16u

/* The file of which RAM is a private mapping: descriptor, and where in it RAM begins. */
typedef struct SnapshotRamFile {
	int fd;
	uint64_t offset; /* a multiple of SNAPSHOT_PAGE */
} SnapshotRamFile;

/* The guest's RAM in order of guest-physical addresses, without the hole below 4 GiB. */
typedef struct SnapshotRam {
	const uint8_t *bytes;
	uint64_t size; /* a multiple of SNAPSHOT_PAGE */
	/*
	 * A bit for each page that may differ from the parent's, of whole words; only with a
	 * parent. NULL: all pages may.
	 */
	const uint64_t *dirty;
	/*
	 * What nobody has touched is zero and need not be read: all of it in a private
	 * anonymous mapping, and what is a hole of the file in a private mapping of one.
	 * If neither is said, all is read.
	 */
	bool anonymous;
	const SnapshotRamFile *file;
} SnapshotRam;

/* Called every few MiB while RAM is written or verified. False cancels. */
typedef struct SnapshotProgress {
	bool (*report)(void *owner, uint64_t done, uint64_t total); /* bytes of RAM looked at */
	void *owner;
} SnapshotProgress;

/* What was written. */
typedef struct SnapshotSummary {
	uint8_t id[SNAPSHOT_ID_SIZE];
	uint64_t ram_bytes; /* stored: pages that are not zero */
	uint64_t state_bytes;
} SnapshotSummary;

/*
 * Writes the file whole or not at all: under another name, fsync, rename (and the
 * directory's fsync). `parent`: NULL, or the path of the file that this one continues;
 * the new one records its id, and its name relative to the new file's folder.
 * UMBRA_ERROR_FAILED names the file and the system's reason; nothing is left behind.
 */
bool snapshot_save(const char *path, const MachineState *state, const SnapshotRam *ram,
		   const char *parent, const SnapshotProgress *progress,
		   SnapshotSummary *ret_summary, GError **error);

typedef struct Snapshot Snapshot;

/*
 * Opens a file and the files it continues; checks headers, checksums of everything
 * but RAM, and that each file is as long as it says. UMBRA_ERROR_INPUT: what is
 * wrong with which file.
 */
Snapshot *snapshot_open(const char *path, GError **error);
void snapshot_close(Snapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshot, snapshot_close)

const MachineState *snapshot_state(const Snapshot *snapshot);
const uint8_t *snapshot_id(const Snapshot *snapshot);

/* Reads all of RAM and compares checksums. UMBRA_ERROR_INPUT names file and place. */
bool snapshot_verify_ram(const Snapshot *snapshot, const SnapshotProgress *progress,
			 GError **error);

/*
 * Where the full file has its RAM: to be mapped privately, snapshot_state()->memory
 * bytes from *ret_offset of the file descriptor, which stays the snapshot's.
 */
int snapshot_ram_file(const Snapshot *snapshot, uint64_t *ret_offset);
/*
 * After the mapping has been read: no file of the chain was truncated meanwhile. What is
 * gone of its last page reads as zeros; whole pages that are gone raise SIGBUS before.
 */
bool snapshot_still_whole(const Snapshot *snapshot, GError **error);
/* Brings the mapping up to date: reads what the incremental files hold into `ram`. */
bool snapshot_apply_increments(const Snapshot *snapshot, uint8_t *ram, GError **error);

/* A bit for each page that is stored anywhere in the chain; all others are zero. g_free. */
uint64_t *snapshot_ram_pages(const Snapshot *snapshot, GError **error);

/* `n` bytes of RAM at this place in the order of SnapshotRam, without checksums. */
bool snapshot_read_ram(const Snapshot *snapshot, uint64_t offset, void *to, size_t n,
		       GError **error);

#endif
