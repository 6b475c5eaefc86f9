// SPDX-License-Identifier: MIT
/* Which pages of RAM a chain of files stores, from their indices alone. */
#include "snapshot/ram_pages.h"

/* Blocks begin at multiples of 64 pages: a record's words are the bitmap's. */
G_STATIC_ASSERT(FILE_BLOCK_PAGES % 64 == 0);

static bool overlay(const SnapshotFile *file, const FileRecord *record, void *data, GError **error)
{
	uint64_t *pages = (uint64_t *)data + record->offset / SNAPSHOT_PAGE / 64;
	uint64_t words = (file->header.ram_size - record->offset + 64 * SNAPSHOT_PAGE - 1) /
			 (64 * SNAPSHOT_PAGE);

	(void)error;
	for (unsigned i = 0; i < MIN(FILE_BLOCK_WORDS, words); i++)
		pages[i] = (pages[i] & ~record->known[i]) | record->stored[i];
	return true;
}

uint64_t *ram_pages(const GPtrArray *chain, uint64_t ram_size, GError **error)
{
	g_autofree uint64_t *pages = g_new0(uint64_t, (ram_size / SNAPSHOT_PAGE + 63) / 64);

	for (unsigned i = chain->len; i > 0; i--)
		if (!snapshot_file_each_record(chain->pdata[i - 1], overlay, pages, error))
			return NULL;
	return g_steal_pointer(&pages);
}
