// SPDX-License-Identifier: MIT
#include "mem/presence.h"

#include "base/pagemap.h"

#include <string.h>
#include <unistd.h>

#define PAGE_SHIFT 12

static bool ask_kernel(const GuestMemory *memory, uint64_t *bitmap)
{
	int pagemap = pagemap_open();
	bool done = pagemap_find(pagemap, memory->base, memory->size >> PAGE_SHIFT, bitmap);

	if (pagemap >= 0)
		close(pagemap);
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
