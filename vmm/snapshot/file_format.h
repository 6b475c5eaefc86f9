// SPDX-License-Identifier: MIT
/*
 * The bytes of a snapshot file (docs/snapshot-format.md). All numbers are
 * little-endian, as is every machine that this program runs on, and the structures
 * have no padding: they are read and written as they are.
 */
#ifndef UMBRA_SNAPSHOT_FILE_FORMAT_H
#define UMBRA_SNAPSHOT_FILE_FORMAT_H

#include "snapshot/snapshot.h"

#define FILE_MAGIC   "UMBRASNP"
#define FILE_VERSION 1u
/* The oldest version whose readers understand what is written. */
#define FILE_COMPATIBLE_VERSION 1u

#define FILE_PARENT_MAX		1024u /* with the zero at its end */

/* RAM is accounted for in blocks, in which a bit stands for a page. */
#define FILE_BLOCK	 (2u << 20)
#define FILE_BLOCK_PAGES (FILE_BLOCK / SNAPSHOT_PAGE)
#define FILE_BLOCK_WORDS (FILE_BLOCK_PAGES / 64)

typedef struct FilePart {
	uint64_t offset; /* in the file, bytes */
	uint64_t length;
	uint64_t checksum;
} FilePart;

/* The first page. What `magic`, the versions and `checksum` are never changes. */
typedef struct FileHeader {
	uint8_t magic[8];
	uint32_t version;
	uint32_t compatible_version;
	uint8_t id[SNAPSHOT_ID_SIZE];
	uint8_t parent_id[SNAPSHOT_ID_SIZE]; /* all zero: this file is full */
	uint64_t length;		     /* of the file */
	FilePart tree;			     /* state_tree_write() */
	FilePart index;			     /* of FileRecord, by rising offsets */
	uint64_t ram_offset; /* a multiple of FILE_BLOCK: can be mapped in huge pages */
	uint64_t ram_size;
	char parent[FILE_PARENT_MAX]; /* its path from this file's folder */
	uint8_t reserved[2944];
	uint64_t checksum; /* of all bytes before it */
} FileHeader;
G_STATIC_ASSERT(sizeof(FileHeader) == SNAPSHOT_PAGE);
G_STATIC_ASSERT(offsetof(FileHeader, checksum) == SNAPSHOT_PAGE - 8);

/*
 * What a file says of a block of RAM: about the pages of `known`, the bytes of those that
 * are also in `stored`, and that the others are zero. A full file knows all pages: what is
 * not in `stored` of a record is zero, and `known` repeats `stored`.
 */
typedef struct FileRecord {
	uint64_t offset;   /* in RAM */
	uint64_t checksum; /* of the stored pages: file_pages_checksum() */
	uint64_t known[FILE_BLOCK_WORDS];
	uint64_t stored[FILE_BLOCK_WORDS];
} FileRecord;
G_STATIC_ASSERT(sizeof(FileRecord) == 144);

/* The index is read, written and summed up in pieces of so many records. */
#define FILE_PIECE_RECORDS 512u

static inline uint64_t file_records_max(uint64_t ram_size)
{
	return (ram_size + FILE_BLOCK - 1) / FILE_BLOCK;
}

/* Bytes of RAM in the block at `offset`: the last one may be shorter. */
static inline uint64_t file_block_size(uint64_t ram_size, uint64_t offset)
{
	return MIN(ram_size - offset, FILE_BLOCK);
}

static inline bool file_has_page(const uint64_t *pages, unsigned page)
{
	return pages[page / 64] >> page % 64 & 1;
}

/*
 * The next run of pages that are set, at or after *page: false if there is none, else
 * moves *page to its first and tells how many they are. All of them are within a block.
 */
bool file_next_run(const uint64_t *pages, unsigned *page, unsigned *ret_n);

/* Of the pages in `stored`, run after run, each sum being the seed of the next: the first is 0. */
uint64_t file_pages_checksum(const uint64_t *stored, const uint8_t *block);
/* Of a piece of the index; `before` is the sum of the pieces before it, 0 for the first. */
uint64_t file_piece_checksum(const FileRecord *records, unsigned n, uint64_t before);
uint64_t file_header_checksum(const FileHeader *header);

bool file_is_full(const FileHeader *header);

#endif
