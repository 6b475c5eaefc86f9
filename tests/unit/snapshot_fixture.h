// SPDX-License-Identifier: MIT
/* What the tests of snapshot files share: a folder, and a guest's memory in it. */
#ifndef UMBRA_TESTS_SNAPSHOT_FIXTURE_H
#define UMBRA_TESTS_SNAPSHOT_FIXTURE_H

#include "base/bytes.h"
#include "base/layout.h"
#include "snapshot/snapshot.h"
#include "state_example.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIXTURE_RAM (64 * LAYOUT_MIB + 3 * SNAPSHOT_PAGE) /* the last block is not whole */

typedef struct SnapshotFixture {
	char *folder;
	char *path; /* no such file yet */
	MachineState *state;
	uint8_t *bytes;
	SnapshotRam ram;
} SnapshotFixture;

static inline uint8_t *fixture_page(const SnapshotFixture *fixture, unsigned page)
{
	return fixture->bytes + (size_t)page * SNAPSHOT_PAGE;
}

/* A page's number in it, and noise that depends on it and on `seed`. */
static inline void fixture_fill_page(const SnapshotFixture *fixture, unsigned page, uint64_t seed)
{
	uint64_t *words = (uint64_t *)fixture_page(fixture, page);

	for (unsigned i = 0; i < SNAPSHOT_PAGE / sizeof(*words); i++)
		words[i] = (seed + page + 1) * 0x9e3779b97f4a7c15 * (i + 1);
}

static inline void fixture_init(SnapshotFixture *fixture, const void *unused)
{
	/* First, last, both sides of a block's border, and lonely ones. */
	static const unsigned pages[] = {0,   1,   2,	 63,   64,    510,  511,
					 512, 700, 9000, 9001, 16384, 16386};

	(void)unused;
	fixture->folder = g_dir_make_tmp("umbra-snapshot-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->folder, "guest.snap", NULL);
	fixture->state = state_example(2, FIXTURE_RAM);
	fixture->bytes = mmap(NULL, FIXTURE_RAM, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	g_assert_true(fixture->bytes != MAP_FAILED);
	fixture->ram =
		(SnapshotRam){.bytes = fixture->bytes, .size = FIXTURE_RAM, .anonymous = true};
	for (size_t i = 0; i < G_N_ELEMENTS(pages); i++)
		fixture_fill_page(fixture, pages[i], 0);
}

/* Nothing may be left in the folder but what the test says. */
static inline unsigned fixture_count_files(const SnapshotFixture *fixture)
{
	g_autoptr(GDir) folder = g_dir_open(fixture->folder, 0, NULL);
	unsigned n = 0;

	while (g_dir_read_name(folder))
		n++;
	return n;
}

static inline void fixture_finish(SnapshotFixture *fixture, const void *unused)
{
	g_autoptr(GDir) folder = g_dir_open(fixture->folder, 0, NULL);
	const char *name;

	(void)unused;
	while ((name = g_dir_read_name(folder))) {
		g_autofree char *path = g_build_filename(fixture->folder, name, NULL);

		g_assert_cmpint(g_remove(path), ==, 0);
	}
	g_assert_cmpint(g_rmdir(fixture->folder), ==, 0);
	munmap(fixture->bytes, FIXTURE_RAM);
	machine_state_destroy(fixture->state);
	g_free(fixture->path);
	g_free(fixture->folder);
}

static inline char *fixture_path(const SnapshotFixture *fixture, const char *name)
{
	return g_build_filename(fixture->folder, name, NULL);
}

static inline void fixture_save(const SnapshotFixture *fixture, const char *path,
				const char *parent)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(
		snapshot_save(path, fixture->state, &fixture->ram, parent, NULL, NULL, &error));
	g_assert_no_error(error);
}

/* The bits of stored pages are those of the pages that hold anything. */
static inline void fixture_assert_pages(const SnapshotFixture *fixture, const Snapshot *snapshot)
{
	g_autofree uint64_t *pages = snapshot_ram_pages(snapshot, NULL);

	for (unsigned page = 0; page < FIXTURE_RAM / SNAPSHOT_PAGE; page++)
		g_assert_cmpint(pages[page / 64] >> page % 64 & 1, ==,
				!bytes_are_zero(fixture_page(fixture, page), SNAPSHOT_PAGE));
}

/* RAM as a restore gets it: mapped privately, then brought up to date. */
static inline void fixture_assert_ram(const SnapshotFixture *fixture, const Snapshot *snapshot)
{
	g_autoptr(GError) error = NULL;
	uint64_t offset;
	int fd = snapshot_ram_file(snapshot, &offset);
	uint8_t *ram =
		mmap(NULL, FIXTURE_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, (off_t)offset);

	g_assert_true(ram != MAP_FAILED);
	g_assert_true(snapshot_apply_increments(snapshot, ram, &error));
	g_assert_no_error(error);
	g_assert_cmpmem(ram, FIXTURE_RAM, fixture->bytes, FIXTURE_RAM);
	g_assert_true(snapshot_read_ram(snapshot, 0, ram, FIXTURE_RAM, &error));
	g_assert_cmpmem(ram, FIXTURE_RAM, fixture->bytes, FIXTURE_RAM);
	munmap(ram, FIXTURE_RAM);
	fixture_assert_pages(fixture, snapshot);
}

#endif
