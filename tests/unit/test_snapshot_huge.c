// SPDX-License-Identifier: MIT
/*
 * Snapshots on a tmpfs, where blocks of RAM that are in use become huge pages of the file. What
 * room a file takes tells which did: all of a block's pages have theirs then. The program is linked
 * so that madvise() can be told to refuse.
 */
#include "no_tmpfile.h"
#include "snapshot_fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define BLOCK	    (2 * LAYOUT_MIB)
#define BLOCK_PAGES ((unsigned)(BLOCK / SNAPSHOT_PAGE))
#define CANNOT	    77 /* exit status of a child: not here */

/* 0: the kernel is asked. And how often it was: MADV_COLLAPSE alone. */
static int refusal, asked;

int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);

int __wrap_madvise(void *address, size_t size, int advice)
{
	if (advice != MADV_COLLAPSE)
		return __real_madvise(address, size, advice);
	asked++;
	errno = refusal;
	return refusal ? -1 : __real_madvise(address, size, advice);
}

/* A file system of the test's own at the fixture's folder, for this process and its children. */
static bool mount_tmpfs(const SnapshotFixture *fixture, const char *options)
{
	static bool alone;

	if (!alone && (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
		       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		return false;
	alone = true;
	return mount("none", fixture->folder, "tmpfs", 0, options) == 0;
}

/* Not so before Linux 6.1, and where somebody has said "deny". */
static bool makes_huge_pages(const SnapshotFixture *fixture)
{
	int fd = open(fixture->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint8_t *address = mmap(NULL, 2 * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool made;

	address += -(uintptr_t)address % BLOCK;
	g_assert_cmpint(ftruncate(fd, BLOCK), ==, 0);
	g_assert_cmpint(pwrite(fd, "x", 1, 0), ==, 1);
	g_assert_true(mmap(address, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		      address);
	made = __real_madvise(address, BLOCK, MADV_COLLAPSE) == 0;
	munmap(address, BLOCK);
	close(fd);
	return made;
}

static void in_child(SnapshotFixture *fixture, int (*test)(SnapshotFixture *fixture))
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(test(fixture));
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		g_test_skip("no tmpfs can be mounted here, or it has no huge pages");
	else
		g_assert_cmpint(status, ==, 0);
}

static void fill_block(const SnapshotFixture *fixture, unsigned block, unsigned holes)
{
	for (unsigned page = 0; page < BLOCK_PAGES; page++)
		if (page % 16 != 3 || page / 16 >= holes)
			fixture_fill_page(fixture, block * BLOCK_PAGES + page, 7);
}

static uint64_t pages_in_use(const SnapshotFixture *fixture)
{
	uint64_t n = 0;

	for (unsigned page = 0; page < FIXTURE_RAM / SNAPSHOT_PAGE; page++)
		n += !bytes_are_zero(fixture_page(fixture, page), SNAPSHOT_PAGE);
	return n;
}

/* Pages of RAM that have room in the file, before anybody reads its holes: a tmpfs then fills them.
 */
static uint64_t pages_in_file(const char *path)
{
	g_autoptr(Snapshot) snapshot = snapshot_open(path, NULL);
	struct stat status;
	uint64_t offset, n;
	off_t at = 0;
	int fd;

	g_assert_nonnull(snapshot);
	fd = snapshot_ram_file(snapshot, &offset);
	g_assert_cmpint(fstat(fd, &status), ==, 0);
	n = (uint64_t)status.st_blocks * 512 / SNAPSHOT_PAGE;
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < offset) {
		at += SNAPSHOT_PAGE;
		n--;
	}
	return n;
}

static void assert_holds(const SnapshotFixture *fixture, const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(path, &error);

	g_assert_no_error(error);
	fixture_assert_ram(fixture, snapshot);
	g_assert_true(snapshot_verify_ram(snapshot, NULL, &error));
	g_assert_no_error(error);
}

/* Without a mapping, whose holes would need room too. */
static void assert_is_whole(const SnapshotFixture *fixture, const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(path, &error);

	g_assert_no_error(error);
	fixture_assert_pages(fixture, snapshot);
	g_assert_true(snapshot_verify_ram(snapshot, NULL, &error));
	g_assert_no_error(error);
}

/* The fixture's pages, and blocks that are full, or nearly; the last of them is RAM's last. */
static void fill(const SnapshotFixture *fixture)
{
	fill_block(fixture, 5, 0);
	fill_block(fixture, 6, 0);
	fill_block(fixture, 8, 1);
	fill_block(fixture, 10, 10);
	fill_block(fixture, 12, 11);
	fill_block(fixture, 31, 0);
	for (unsigned page = 32 * BLOCK_PAGES; page < FIXTURE_RAM / SNAPSHOT_PAGE; page++)
		fixture_fill_page(fixture, page, 7);
}

/* Pages that fill() leaves out of blocks that are full enough. */
#define SPARE (1 + 10)

/* At most 2 % more than what is in use, block by block. */
static int full_blocks(SnapshotFixture *fixture)
{
	if (!mount_tmpfs(fixture, "") || !makes_huge_pages(fixture))
		return CANNOT;
	fill(fixture);
	fixture_save(fixture, fixture->path, NULL);
	g_assert_cmpint(asked, ==, 5);
	g_assert_cmpuint(pages_in_file(fixture->path), ==, pages_in_use(fixture) + SPARE);
	assert_holds(fixture, fixture->path);
	return 0;
}

static void test_full_blocks(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, full_blocks);
}

static int increments(SnapshotFixture *fixture)
{
	g_autofree char *next = fixture_path(fixture, "next");
	uint64_t dirty[FIXTURE_RAM / SNAPSHOT_PAGE / 64 + 1] = {0};

	if (!mount_tmpfs(fixture, "") || !makes_huge_pages(fixture))
		return CANNOT;
	fill(fixture);
	fixture_save(fixture, fixture->path, NULL);
	/* All of one block and half of another is new; a page of either has become zero. */
	for (unsigned page = 5 * BLOCK_PAGES; page < 6 * BLOCK_PAGES + BLOCK_PAGES / 2; page++) {
		dirty[page / 64] |= 1UL << page % 64;
		if (page % BLOCK_PAGES == 9)
			memset(fixture_page(fixture, page), 0, SNAPSHOT_PAGE);
		else
			fixture_fill_page(fixture, page, 99);
	}
	fixture->ram.dirty = dirty;
	asked = 0;
	fixture_save(fixture, next, fixture->path);
	g_assert_cmpint(asked, ==, 1);
	assert_holds(fixture, next);
	return 0;
}

static void test_increments(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, increments);
}

/* A huge page would reach beyond the end of the file. */
static int short_block(SnapshotFixture *fixture)
{
	if (!mount_tmpfs(fixture, "") || !makes_huge_pages(fixture))
		return CANNOT;
	for (unsigned block = 0; block < 4; block++)
		fill_block(fixture, block, 0);
	fixture->ram.size = fixture->state->memory = 4 * BLOCK - 2 * SNAPSHOT_PAGE;
	fixture_save(fixture, fixture->path, NULL);
	g_assert_cmpint(asked, ==, 3);
	g_assert_cmpuint(pages_in_file(fixture->path), ==, fixture->ram.size / SNAPSHOT_PAGE);
	return 0;
}

static void test_short_block(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, short_block);
}

/* Who can name the file can truncate it: a mapping ends by a signal then. */
static int named(SnapshotFixture *fixture)
{
	if (!mount_tmpfs(fixture, ""))
		return CANNOT;
	fill(fixture);
	no_tmpfile = true;
	fixture_save(fixture, fixture->path, NULL);
	g_assert_cmpint(asked, ==, 0);
	assert_holds(fixture, fixture->path);
	return 0;
}

static void test_named(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, named);
}

/* For whatever reason: the file is the same, without the room that a huge page takes. */
static int refused(SnapshotFixture *fixture)
{
	static const int reasons[] = {EINVAL, ENOMEM, EBUSY, EAGAIN};

	if (!mount_tmpfs(fixture, ""))
		return CANNOT;
	fill(fixture);
	for (size_t i = 0; i < G_N_ELEMENTS(reasons); i++) {
		refusal = reasons[i];
		asked = 0;
		fixture_save(fixture, fixture->path, NULL);
		/* Not again and again. */
		g_assert_cmpint(asked, ==, 1);
		g_assert_cmpuint(pages_in_file(fixture->path), ==, pages_in_use(fixture));
		assert_holds(fixture, fixture->path);
	}
	return 0;
}

static void test_refused(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, refused);
}

/* Elsewhere than on a tmpfs a mapping may find the disk full: by a signal. */
static int elsewhere(SnapshotFixture *fixture)
{
	if (!mount_tmpfs(fixture, "") || umount(fixture->folder) < 0 ||
	    mount("none", fixture->folder, "ramfs", 0, NULL) < 0)
		return CANNOT;
	fill(fixture);
	fixture_save(fixture, fixture->path, NULL);
	g_assert_cmpint(asked, ==, 0);
	assert_holds(fixture, fixture->path);
	return 0;
}

static void test_elsewhere(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, elsewhere);
}

#define OLDER "what was there before"

/* The older file stays as it was, or the new one is whole. */
static bool save_in(SnapshotFixture *fixture, unsigned pages)
{
	g_autofree char *options = g_strdup_printf("size=%u", pages * SNAPSHOT_PAGE);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	bool saved;

	g_assert_true(mount_tmpfs(fixture, options));
	g_assert_true(g_file_set_contents(fixture->path, OLDER, -1, NULL));
	saved = snapshot_save(fixture->path, fixture->state, &fixture->ram, NULL, NULL, NULL,
			      &error);
	if (saved) {
		assert_is_whole(fixture, fixture->path);
	} else {
		g_assert_nonnull(strstr(error->message, fixture->path));
		g_assert_nonnull(strstr(error->message, g_strerror(ENOSPC)));
		g_assert_true(g_file_get_contents(fixture->path, &text, NULL, NULL));
		g_assert_cmpstr(text, ==, OLDER);
	}
	g_assert_cmpuint(fixture_count_files(fixture), ==, 1);
	g_assert_cmpint(umount(fixture->folder), ==, 0);
	return saved;
}

/* Wherever the file system gets full, it is an error and no signal; nor is it full too early. */
static int full_disk(SnapshotFixture *fixture)
{
	unsigned needed = 0, tries = 0;

	if (!mount_tmpfs(fixture, ""))
		return CANNOT;
	g_assert_cmpint(umount(fixture->folder), ==, 0);
	fill(fixture);
	refusal = EINVAL;
	for (unsigned step = 4096; step > 0; step /= 2)
		while (!save_in(fixture, needed + step))
			needed += step;
	refusal = 0;
	for (unsigned pages = 4; pages < needed; pages += 61, tries++)
		g_assert_false(save_in(fixture, pages));
	g_assert_cmpuint(tries, >, 40);
	for (unsigned i = 0; i < 16; i++) {
		g_assert_false(save_in(fixture, needed - i));
		g_assert_true(save_in(fixture, needed + 1 + SPARE + i));
		save_in(fixture, needed + 1 + i);
	}
	return 0;
}

static void test_full_disk(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	in_child(fixture, full_disk);
}

#define ADD(name, function)                                                               \
	g_test_add("/snapshot-huge/" name, SnapshotFixture, NULL, fixture_init, function, \
		   fixture_finish)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("full-blocks", test_full_blocks);
	ADD("increments", test_increments);
	ADD("short-block", test_short_block);
	ADD("named", test_named);
	ADD("refused", test_refused);
	ADD("elsewhere", test_elsewhere);
	ADD("full-disk", test_full_disk);
	return g_test_run();
}
