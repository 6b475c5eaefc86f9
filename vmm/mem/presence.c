// SPDX-License-Identifier: MIT
#include "mem/presence.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PAGE_SHIFT 12
#define ENTRIES	   8192u /* read at a time */

/* Documentation/admin-guide/mm/pagemap.rst: in memory, in swap. */
#define PRESENT (1UL << 63 | 1UL << 62)

static bool read_entries(int fd, uint64_t first, uint64_t *entries, size_t n)
{
	size_t size = n * sizeof(*entries), done = 0;

	while (done < size) {
		ssize_t got = pread(fd, (uint8_t *)entries + done, size - done,
				    (off_t)(first * sizeof(*entries) + done));

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static bool ask_kernel(const GuestMemory *memory, uint64_t *bitmap)
{
	g_autofree uint64_t *entries = g_new(uint64_t, ENTRIES);
	uint64_t pages = memory->size >> PAGE_SHIFT;
	uint64_t first = (uintptr_t)memory->base >> PAGE_SHIFT;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool done = fd >= 0;

	for (uint64_t page = 0; done && page < pages; page += ENTRIES) {
		size_t n = (size_t)MIN(ENTRIES, pages - page);

		done = read_entries(fd, first + page, entries, n);
		for (size_t i = 0; done && i < n; i++)
			if (entries[i] & PRESENT)
				bitmap[(page + i) / 64] |= 1UL << (page + i) % 64;
	}
	if (fd >= 0)
		close(fd);
	return done;
}

uint64_t *memory_presence(const GuestMemory *memory)
{
	uint64_t pages = memory->size >> PAGE_SHIFT;
	size_t words = (size_t)((pages + 63) / 64);
	uint64_t *bitmap = g_new0(uint64_t, words);

	if (memory->from_file || !ask_kernel(memory, bitmap)) {
		memset(bitmap, 0xff, words * sizeof(*bitmap));
		if (pages % 64)
			bitmap[words - 1] = (1UL << pages % 64) - 1;
	}
	return bitmap;
}
