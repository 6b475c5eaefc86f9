// SPDX-License-Identifier: MIT
#include "snapshot/ram_write.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/pagemap.h"
#include "snapshot/huge_blocks.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_STEP (2 * (uint64_t)FILE_BLOCK)

/* RAM that the kernel is asked about at a time. */
#define SPAN	   (1ULL << 30)
#define SPAN_WORDS (SPAN / SNAPSHOT_PAGE / 64)

typedef struct RamWriter {
	SaveTarget *target;
	const SnapshotRam *ram;
	FileHeader *header;
	HugeBlocks huge;
	int pagemap;	 /* -1: not asked */
	uint64_t *there; /* pages of a span that there are, as far as the kernel tells */
	FileRecord *piece;
	unsigned n_piece;
	uint64_t stored; /* bytes */
} RamWriter;

/* The pages of the block that there are and that are to be looked at. */
static void find_wanted(const RamWriter *writer, uint64_t offset, uint64_t *ret_pages)
{
	unsigned n = file_block_size(writer->ram->size, offset) / SNAPSHOT_PAGE;

	for (unsigned i = 0; i < FILE_BLOCK_WORDS; i++) {
		uint64_t there = n >= (i + 1) * 64 ? ~0ULL
				 : n > i * 64	   ? ~0ULL >> (64 - n % 64)
						   : 0;

		if (writer->ram->dirty && there != 0)
			there &= writer->ram->dirty[offset / SNAPSHOT_PAGE / 64 + i];
		ret_pages[i] = there;
	}
}

/* Marks the pages of the block for which the file behind RAM has data, as far as it tells. */
static void find_file_data(const RamWriter *writer, uint64_t offset, uint64_t *pages)
{
	const SnapshotRamFile *file = writer->ram->file;
	off_t start = (off_t)(file->offset + offset);
	off_t end = start + (off_t)file_block_size(writer->ram->size, offset);

	for (off_t at = start; at < end;) {
		off_t data = lseek(file->fd, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			return;
		data = data < 0 ? at : data;
		at = lseek(file->fd, data, SEEK_HOLE);
		at = at < 0 ? end : MIN(at, end);
		for (; data < at; data = (data / SNAPSHOT_PAGE + 1) * SNAPSHOT_PAGE) {
			unsigned page = (unsigned)((data - start) / SNAPSHOT_PAGE);

			pages[page / 64] |= 1ULL << page % 64;
		}
	}
}

/* For the span that begins here. */
static void find_there(const RamWriter *writer, uint64_t offset)
{
	size_t pages = MIN(SPAN, writer->ram->size - offset) / SNAPSHOT_PAGE;

	if (!pagemap_find(writer->pagemap, writer->ram->bytes + offset, pages, writer->there))
		memset(writer->there, 0xff, SPAN_WORDS * sizeof(*writer->there));
}

/* Takes out the pages that nobody ever touched: reading them would make the kernel supply them. */
static void drop_untouched(const RamWriter *writer, uint64_t offset, uint64_t *pages)
{
	const uint64_t *touched = writer->there + offset % SPAN / SNAPSHOT_PAGE / 64;
	uint64_t there[FILE_BLOCK_WORDS];

	memcpy(there, touched, sizeof(there));
	if (writer->ram->file)
		find_file_data(writer, offset, there);
	for (unsigned i = 0; i < FILE_BLOCK_WORDS; i++)
		pages[i] &= there[i];
}

static void drop_zero(const RamWriter *writer, uint64_t offset, uint64_t *pages)
{
	const uint8_t *block = writer->ram->bytes + offset;

	for (unsigned i = 0; i < FILE_BLOCK_WORDS; i++)
		for (uint64_t left = pages[i]; left != 0; left &= left - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(left);

			if (bytes_are_zero(block + (i * 64 + bit) * SNAPSHOT_PAGE, SNAPSHOT_PAGE))
				pages[i] &= ~(1ULL << bit);
		}
}

static bool write_pages(RamWriter *writer, const FileRecord *record, GError **error)
{
	const uint8_t *block = writer->ram->bytes + record->offset;
	uint64_t place = writer->header->ram_offset + record->offset;
	bool whole = file_block_size(writer->ram->size, record->offset) == FILE_BLOCK;
	bool done = whole && huge_blocks_write(&writer->huge, record->stored, block, place);

	for (unsigned page = 0, n; file_next_run(record->stored, &page, &n); page += n) {
		size_t size = (size_t)n * SNAPSHOT_PAGE;

		if (!done && !save_target_write(writer->target, block + page * SNAPSHOT_PAGE, size,
						place + page * SNAPSHOT_PAGE, error))
			return false;
		writer->stored += size;
	}
	return true;
}

static bool flush_piece(RamWriter *writer, GError **error)
{
	FilePart *index = &writer->header->index;
	size_t size = writer->n_piece * sizeof(*writer->piece);

	if (size == 0)
		return true;
	if (!save_target_write(writer->target, writer->piece, size, index->offset + index->length,
			       error))
		return false;
	index->checksum = file_piece_checksum(writer->piece, writer->n_piece, index->checksum);
	index->length += size;
	writer->n_piece = 0;
	return true;
}

static bool write_block(RamWriter *writer, uint64_t offset, GError **error)
{
	FileRecord *record = &writer->piece[writer->n_piece];
	uint64_t wanted[FILE_BLOCK_WORDS], any = 0;

	record->offset = offset;
	find_wanted(writer, offset, wanted);
	memcpy(record->stored, wanted, sizeof(wanted));
	drop_untouched(writer, offset, record->stored);
	drop_zero(writer, offset, record->stored);
	memcpy(record->known, file_is_full(writer->header) ? record->stored : wanted,
	       sizeof(wanted));
	for (unsigned i = 0; i < FILE_BLOCK_WORDS; i++)
		any |= record->known[i];
	if (any == 0)
		return true;
	record->checksum = file_pages_checksum(record->stored, writer->ram->bytes + offset);
	if (!write_pages(writer, record, error))
		return false;
	writer->n_piece++;
	return writer->n_piece < FILE_PIECE_RECORDS || flush_piece(writer, error);
}

/*
 * A file that has become shorter has no holes there and no data: its pages would pass for
 * zeros. Before the pages are looked at and after.
 */
static bool check_file(const RamWriter *writer, GError **error)
{
	const SnapshotRamFile *file = writer->ram->file;
	struct stat status;

	if (!file || fstat(file->fd, &status) < 0 ||
	    (uint64_t)status.st_size >= file->offset + writer->ram->size)
		return true;
	return umbra_fail(error, UMBRA_ERROR_FAILED,
			  "snapshot '%s': a part of the guest's memory is gone: the file that it "
			  "was restored from has been truncated",
			  writer->target->path);
}

static bool report(const RamWriter *writer, const SnapshotProgress *progress, uint64_t done,
		   GError **error)
{
	if (!progress || progress->report(progress->owner, done, writer->ram->size))
		return true;
	return umbra_fail(error, UMBRA_ERROR_FAILED, "snapshot '%s': canceled",
			  writer->target->path);
}

static bool write_blocks(RamWriter *writer, const SnapshotProgress *progress, GError **error)
{
	uint64_t size = writer->ram->size;

	for (uint64_t at = 0; at < size; at += FILE_BLOCK) {
		if (at % SPAN == 0)
			find_there(writer, at);
		if (at % PROGRESS_STEP == 0 && !report(writer, progress, at, error))
			return false;
		if (!write_block(writer, at, error))
			return false;
	}
	return flush_piece(writer, error) && report(writer, progress, size, error);
}

bool ram_write(SaveTarget *target, const SnapshotRam *ram, const SnapshotProgress *progress,
	       FileHeader *header, uint64_t *ret_stored, GError **error)
{
	RamWriter writer = {.target = target, .ram = ram, .header = header, .pagemap = -1};
	bool written;

	if (ram->anonymous || ram->file)
		writer.pagemap = pagemap_open();
	writer.there = g_new0(uint64_t, SPAN_WORDS);
	huge_blocks_init(&writer.huge, target);
	writer.piece = g_new0(FileRecord, FILE_PIECE_RECORDS);
	header->index.length = 0;
	header->index.checksum = 0;
	written = check_file(&writer, error) && write_blocks(&writer, progress, error) &&
		  check_file(&writer, error);
	*ret_stored = writer.stored;
	g_free(writer.piece);
	g_free(writer.there);
	huge_blocks_finish(&writer.huge);
	if (writer.pagemap >= 0)
		close(writer.pagemap);
	return written;
}
