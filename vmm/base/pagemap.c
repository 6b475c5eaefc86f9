// SPDX-License-Identifier: MIT
/*
 * Linux, Documentation/admin-guide/mm/pagemap.rst. An ioctl (6.7) tells of ranges and passes over
 * what is empty, so that it costs what there is; reading costs as much for every page of nothing.
 */
#include "base/pagemap.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE	    4096u
#define ENTRIES	    8192u /* read at a time */
#define RANGES	    256u  /* asked for at a time */

#define ENTRY_THERE (1ULL << 63 | 1ULL << 62) /* in memory, in swap */

/* <linux/fs.h> of Linux 6.7. */
#define SCAN_THERE (1ULL << 3 | 1ULL << 4) /* likewise */

typedef struct ScanRange {
	uint64_t start, end; /* addresses */
	uint64_t categories;
} ScanRange;

typedef struct Scan {
	uint64_t size, flags;
	uint64_t start, end, walk_end;
	uint64_t ranges, n_ranges, max_pages;
	uint64_t inverted, all_of, any_of, returned;
} Scan;
G_STATIC_ASSERT(sizeof(Scan) == 96);

#define SCAN_IOCTL _IOWR('f', 16, Scan)

int pagemap_open(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

static void set_bits(uint64_t *pages, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t next = MIN(to, (from / 64 + 1) * 64);

		pages[from / 64] |= ~0ULL >> (64 - (next - from)) << from % 64;
		from = next;
	}
}

static bool scan(int pagemap, uint64_t start, size_t n, uint64_t *pages)
{
	ScanRange ranges[RANGES];
	Scan scan = {
		.size = sizeof(scan),
		.end = start + n * PAGE,
		.ranges = (uintptr_t)ranges,
		.n_ranges = RANGES,
		.any_of = SCAN_THERE,
		.returned = SCAN_THERE,
	};

	for (uint64_t at = start; at < scan.end; at = scan.walk_end) {
		int found;

		scan.start = at;
		found = ioctl(pagemap, SCAN_IOCTL, &scan);
		if (found < 0 || scan.walk_end <= at)
			return false;
		for (int i = 0; i < found; i++)
			set_bits(pages, (ranges[i].start - start) / PAGE,
				 (ranges[i].end - start) / PAGE);
	}
	return true;
}

static bool read_entries(int pagemap, uint64_t first, uint64_t *entries, size_t n)
{
	size_t size = n * sizeof(*entries), done = 0;

	while (done < size) {
		ssize_t got = pread(pagemap, (uint8_t *)entries + done, size - done,
				    (off_t)(first * sizeof(*entries) + done));

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static bool read_all(int pagemap, uint64_t first, size_t n, uint64_t *pages)
{
	g_autofree uint64_t *entries = g_new(uint64_t, MIN(n, ENTRIES));

	for (size_t page = 0; page < n; page += ENTRIES) {
		size_t part = MIN(ENTRIES, n - page);

		if (!read_entries(pagemap, first + page, entries, part))
			return false;
		for (size_t i = 0; i < part; i++)
			if (entries[i] & ENTRY_THERE)
				pages[(page + i) / 64] |= 1ULL << (page + i) % 64;
	}
	return true;
}

bool pagemap_find(int pagemap, const void *start, size_t n, uint64_t *ret_pages)
{
	uint64_t address = (uintptr_t)start;

	memset(ret_pages, 0, (n + 63) / 64 * sizeof(*ret_pages));
	return pagemap >= 0 && (scan(pagemap, address, n, ret_pages) ||
				read_all(pagemap, address / PAGE, n, ret_pages));
}
