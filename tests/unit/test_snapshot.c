// SPDX-License-Identifier: MIT
/* What a snapshot file holds comes out of it again. */
#include "snapshot_fixture.h"

#include "base/error.h"

#include <sys/stat.h>

static void test_full(SnapshotFixture *fixture, const void *unused)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = NULL;
	SnapshotSummary summary;
	struct stat status;

	(void)unused;
	g_assert_true(snapshot_save(fixture->path, fixture->state, &fixture->ram, NULL, NULL,
				    &summary, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(summary.ram_bytes, ==, 13 * SNAPSHOT_PAGE);
	g_assert_cmpuint(fixture_count_files(fixture), ==, 1);
	g_assert_cmpint(stat(fixture->path, &status), ==, 0);
	g_assert_cmpuint((uint64_t)status.st_blocks * 512, <, 64 * SNAPSHOT_PAGE);
	g_assert_cmphex(status.st_mode & 0777, ==, 0600);

	snapshot = snapshot_open(fixture->path, &error);
	g_assert_no_error(error);
	state_assert_equal(snapshot_state(snapshot), fixture->state);
	g_assert_cmpmem(snapshot_id(snapshot), SNAPSHOT_ID_SIZE, summary.id, SNAPSHOT_ID_SIZE);
	fixture_assert_ram(fixture, snapshot);
	g_assert_true(snapshot_verify_ram(snapshot, NULL, &error));
}

static uint64_t file_pages(int fd)
{
	struct stat status;

	g_assert_cmpint(fstat(fd, &status), ==, 0);
	return (uint64_t)status.st_blocks * 512 / SNAPSHOT_PAGE;
}

/*
 * What is behind an absent page of a file's mapping is zero only in a hole. The file is a
 * memfd: whoever reads in a hole of one makes it take up room.
 */
static void save_mapped_file(SnapshotFixture *fixture, bool tell_file)
{
	g_autoptr(Snapshot) snapshot = NULL;
	g_autoptr(GError) error = NULL;
	SnapshotRam ram = fixture->ram;
	SnapshotRamFile file = {.fd = memfd_create("ram", MFD_CLOEXEC),
				.offset = 8 * SNAPSHOT_PAGE};
	uint8_t *bytes;
	uint64_t before;

	g_assert_cmpint(ftruncate(file.fd, FIXTURE_RAM + (off_t)file.offset), ==, 0);
	for (unsigned page = 0; page < FIXTURE_RAM / SNAPSHOT_PAGE; page++)
		if (*(uint64_t *)fixture_page(fixture, page) != 0)
			g_assert_cmpint(pwrite(file.fd, fixture_page(fixture, page), SNAPSHOT_PAGE,
					       (off_t)(file.offset + page * SNAPSHOT_PAGE)),
					==, SNAPSHOT_PAGE);
	bytes = mmap(NULL, FIXTURE_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd,
		     (off_t)file.offset);
	/* Written here, where the file has a hole, and zero here, where it has data. */
	fixture_fill_page(fixture, 3000, 1);
	memcpy(bytes + 3000 * SNAPSHOT_PAGE, fixture_page(fixture, 3000), SNAPSHOT_PAGE);
	memset(fixture_page(fixture, 64), 0, SNAPSHOT_PAGE);
	memset(bytes + 64 * SNAPSHOT_PAGE, 0, SNAPSHOT_PAGE);
	before = file_pages(file.fd);
	ram.bytes = bytes;
	ram.anonymous = false;
	ram.file = tell_file ? &file : NULL;
	g_assert_true(snapshot_save(fixture->path, fixture->state, &ram, NULL, NULL, NULL, &error));
	if (tell_file)
		g_assert_cmpuint(file_pages(file.fd), ==, before);
	snapshot = snapshot_open(fixture->path, &error);
	g_assert_no_error(error);
	fixture_assert_ram(fixture, snapshot);
	g_assert_true(snapshot_verify_ram(snapshot, NULL, &error));
	munmap(bytes, FIXTURE_RAM);
	close(file.fd);
}

static void test_mapped_file(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	save_mapped_file(fixture, false);
}

static void test_holes(SnapshotFixture *fixture, const void *unused)
{
	(void)unused;
	if (access("/proc/self/pagemap", R_OK) < 0)
		g_test_skip("the kernel does not tell which pages are there");
	else
		save_mapped_file(fixture, true);
}

static void set_dirty(uint64_t *dirty, unsigned page)
{
	dirty[page / 64] |= 1ULL << page % 64;
}

/* Full, two that continue it: pages that change, appear, and become zero or untouched again. */
static void test_chain(SnapshotFixture *fixture, const void *unused)
{
	g_autofree uint64_t *dirty = g_new0(uint64_t, FIXTURE_RAM / SNAPSHOT_PAGE / 64 + 1);
	g_autofree char *second = fixture_path(fixture, "second.snap");
	g_autofree char *third = fixture_path(fixture, "third.snap");
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = NULL;
	SnapshotSummary summary;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	fixture_fill_page(fixture, 1, 77);
	fixture_fill_page(fixture, 5000, 77);
	memset(fixture_page(fixture, 511), 0, SNAPSHOT_PAGE);
	madvise(fixture_page(fixture, 9000), SNAPSHOT_PAGE, MADV_DONTNEED);
	set_dirty(dirty, 1);
	set_dirty(dirty, 5000);
	set_dirty(dirty, 511);
	set_dirty(dirty, 9000);
	set_dirty(dirty, 16386);
	fixture->ram.dirty = dirty;
	g_assert_true(snapshot_save(second, fixture->state, &fixture->ram, fixture->path, NULL,
				    &summary, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(summary.ram_bytes, ==, 3 * SNAPSHOT_PAGE);
	snapshot = snapshot_open(second, &error);
	g_assert_no_error(error);
	fixture_assert_ram(fixture, snapshot);
	g_clear_pointer(&snapshot, snapshot_close);

	/* Nothing is known of what changed: all pages are in question. */
	fixture_fill_page(fixture, 9000, 99);
	fixture_fill_page(fixture, 511, 99);
	memset(fixture_page(fixture, 1), 0, SNAPSHOT_PAGE);
	fixture->ram.dirty = NULL;
	fixture_save(fixture, third, second);
	snapshot = snapshot_open(third, &error);
	g_assert_no_error(error);
	fixture_assert_ram(fixture, snapshot);
	g_assert_true(snapshot_verify_ram(snapshot, NULL, &error));
	g_assert_no_error(error);
	state_assert_equal(snapshot_state(snapshot), fixture->state);
}

#define ADD(name, function) \
	g_test_add("/snapshot/" name, SnapshotFixture, NULL, fixture_init, function, fixture_finish)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("full", test_full);
	ADD("mapped-file", test_mapped_file);
	ADD("holes", test_holes);
	ADD("chain", test_chain);
	return g_test_run();
}
