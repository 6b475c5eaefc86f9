// SPDX-License-Identifier: MIT
#include "snapshot/huge_blocks.h"

#include "base/bytes.h"
#include "snapshot/file_format.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#ifndef MADV_COLLAPSE /* glibc 2.37 */
#define MADV_COLLAPSE 25
#endif

/*
 * What is written through a mapping cannot fail but by a signal. On a tmpfs all pages of a huge
 * page have their room from its beginning; other file systems look for it only when a page is
 * written. And nobody can truncate a file that has no name yet.
 */
static bool is_safe(const SaveTarget *target)
{
	struct statfs status;

	return !target->temporary && fstatfs(target->fd, &status) == 0 &&
	       status.f_type == TMPFS_MAGIC;
}

void huge_blocks_init(HugeBlocks *blocks, SaveTarget *target)
{
	*blocks = (HugeBlocks){.target = target, .off = !is_safe(target)};
	if (blocks->off)
		return;
	blocks->reserved = mmap(NULL, 2 * FILE_BLOCK, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (blocks->reserved == MAP_FAILED)
		*blocks = (HugeBlocks){.off = true};
	else
		blocks->window = blocks->reserved + -(uintptr_t)blocks->reserved % FILE_BLOCK;
}

void huge_blocks_finish(HugeBlocks *blocks)
{
	if (blocks->reserved)
		munmap(blocks->reserved, 2 * FILE_BLOCK);
}

/* The file's size stays that of the pages in use but for 2 %: those that are not take room here. */
static bool is_full_enough(const uint64_t *stored)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FILE_BLOCK_WORDS; i++)
		n += (unsigned)__builtin_popcountll(stored[i]);
	return (FILE_BLOCK_PAGES - n) * 50 <= n;
}

/* Of nothing but holes the kernel makes no huge page: a page has to be there. */
static bool write_first(const HugeBlocks *blocks, const uint64_t *stored, const uint8_t *block,
			uint64_t place)
{
	unsigned page = 0, n;

	return file_next_run(stored, &page, &n) &&
	       save_target_write(blocks->target, block + page * SNAPSHOT_PAGE, SNAPSHOT_PAGE,
				 place + page * SNAPSHOT_PAGE, NULL);
}

static bool make_huge(const HugeBlocks *blocks, uint64_t place)
{
	return mmap(blocks->window, FILE_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    blocks->target->fd, (off_t)place) != MAP_FAILED &&
	       madvise(blocks->window, FILE_BLOCK, MADV_COLLAPSE) == 0;
}

bool huge_blocks_write(HugeBlocks *blocks, const uint64_t *stored, const uint8_t *block,
		       uint64_t place)
{
	if (blocks->off || !is_full_enough(stored))
		return false;
	/* Who has refused once would mostly do it again, and to look for a huge page takes time. */
	if (!write_first(blocks, stored, block, place) || !make_huge(blocks, place)) {
		blocks->off = true;
		return false;
	}
	for (unsigned page = 0, n; file_next_run(stored, &page, &n); page += n)
		bytes_copy(blocks->window + page * SNAPSHOT_PAGE, block + page * SNAPSHOT_PAGE,
			   (size_t)n * SNAPSHOT_PAGE);
	return true;
}
