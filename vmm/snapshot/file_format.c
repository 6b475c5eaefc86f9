// SPDX-License-Identifier: MIT
#include "snapshot/file_format.h"

#include "base/bytes.h"

#include <string.h>

/* The first page at or after `from` that is set, or that is not; FILE_BLOCK_PAGES for none. */
static unsigned find_page(const uint64_t *pages, unsigned from, bool set)
{
	for (unsigned word = from / 64; word < FILE_BLOCK_WORDS; word++) {
		uint64_t bits = set ? pages[word] : ~pages[word];

		if (word == from / 64)
			bits &= ~0ULL << from % 64;
		if (bits != 0)
			return word * 64 + (unsigned)__builtin_ctzll(bits);
	}
	return FILE_BLOCK_PAGES;
}

bool file_next_run(const uint64_t *pages, unsigned *page, unsigned *ret_n)
{
	*page = find_page(pages, *page, true);
	*ret_n = find_page(pages, *page, false) - *page;
	return *page < FILE_BLOCK_PAGES;
}

uint64_t file_pages_checksum(const uint64_t *stored, const uint8_t *block)
{
	uint64_t sum = 0;
	unsigned n;

	for (unsigned page = 0; file_next_run(stored, &page, &n); page += n)
		sum = bytes_checksum(block + page * SNAPSHOT_PAGE, (size_t)n * SNAPSHOT_PAGE, sum);
	return sum;
}

uint64_t file_piece_checksum(const FileRecord *records, unsigned n, uint64_t before)
{
	return bytes_checksum(records, n * sizeof(*records), before);
}

uint64_t file_header_checksum(const FileHeader *header)
{
	return bytes_checksum(header, offsetof(FileHeader, checksum), 0);
}

bool file_is_full(const FileHeader *header)
{
	static const uint8_t none[SNAPSHOT_ID_SIZE];

	return memcmp(header->parent_id, none, sizeof(none)) == 0;
}
