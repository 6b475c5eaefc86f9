// SPDX-License-Identifier: MIT
/* Files that continue others, and what can be wrong between them. */
#include "snapshot_fixture.h"

#include "base/error.h"
#include "snapshot/file_format.h"

#include <fcntl.h>
#include <sys/stat.h>

static void assert_open_fails(const char *path, const char *culprit, const char *why)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(path, &error);

	g_assert_null(snapshot);
	g_assert_nonnull(error);
	if (!strstr(error->message, culprit) || !strstr(error->message, why))
		g_error("'%s' should name '%s' and say '%s'", error->message, culprit, why);
}

static void assert_save_fails(const SnapshotFixture *fixture, const char *path, const char *parent,
			      const char *why)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(
		snapshot_save(path, fixture->state, &fixture->ram, parent, NULL, NULL, &error));
	if (!strstr(error->message, path) || !strstr(error->message, why))
		g_error("'%s' should name '%s' and say '%s'", error->message, path, why);
}

static void read_header(const char *path, FileHeader *ret_header)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	g_assert_cmpint(read(fd, ret_header, sizeof(*ret_header)), ==, sizeof(*ret_header));
	close(fd);
}

static void write_header(const char *path, FileHeader *header)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	header->checksum = file_header_checksum(header);
	g_assert_cmpint(write(fd, header, sizeof(*header)), ==, sizeof(*header));
	close(fd);
}

/* Only page 0 of each differs: files of a few KiB. */
static void make_chain(SnapshotFixture *fixture, unsigned n)
{
	uint64_t dirty[FIXTURE_RAM / SNAPSHOT_PAGE / 64 + 1] = {1};
	g_autofree char *before = NULL;

	for (unsigned i = 0; i < n; i++) {
		g_autofree char *name = g_strdup_printf("%u.snap", i);
		char *path = fixture_path(fixture, name);

		fixture_fill_page(fixture, 0, i);
		fixture->ram.dirty = before ? dirty : NULL;
		fixture_save(fixture, path, before);
		g_free(before);
		before = path;
	}
}

static void test_longest(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *newest = fixture_path(fixture, "63.snap");
	g_autofree char *further = fixture_path(fixture, "64.snap");
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = NULL;

	(void)unused;
	make_chain(fixture, SNAPSHOT_CHAIN_MAX);
	snapshot = snapshot_open(newest, &error);
	g_assert_no_error(error);
	fixture_assert_ram(fixture, snapshot);
	assert_save_fails(fixture, further, newest, "take a full one");
	g_assert_false(g_file_test(further, G_FILE_TEST_EXISTS));
}

/* Two chains whose ends are tied together are longer than each. */
static void test_too_long(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *first = fixture_path(fixture, "0.snap");
	g_autofree char *longer = fixture_path(fixture, "longer.snap");
	g_autofree char *newest = fixture_path(fixture, "63.snap");
	FileHeader header, below;

	(void)unused;
	make_chain(fixture, SNAPSHOT_CHAIN_MAX);
	fixture->ram.dirty = NULL;
	fixture_save(fixture, longer, NULL);
	read_header(longer, &below);
	read_header(first, &header);
	memcpy(header.parent_id, below.id, sizeof(below.id));
	strcpy(header.parent, "longer.snap");
	write_header(first, &header);
	assert_open_fails(newest, first, "number 64 of a chain, and it goes on");
}

static void test_loop(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *first = fixture_path(fixture, "0.snap");
	g_autofree char *second = fixture_path(fixture, "1.snap");
	FileHeader a, b;

	(void)unused;
	make_chain(fixture, 2);
	read_header(first, &a);
	read_header(second, &b);
	memcpy(a.parent_id, b.id, sizeof(b.id));
	strcpy(a.parent, "1.snap");
	write_header(first, &a);
	assert_open_fails(second, first, "continues a file that continues it");
	memcpy(a.parent_id, a.id, sizeof(a.id));
	strcpy(a.parent, "0.snap");
	write_header(first, &a);
	assert_open_fails(first, first, "continues itself");
}

static void test_parent_gone(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *first = fixture_path(fixture, "0.snap");
	g_autofree char *second = fixture_path(fixture, "1.snap");

	(void)unused;
	make_chain(fixture, 2);
	g_assert_cmpint(g_remove(first), ==, 0);
	assert_open_fails(second, second, first);
	/* The same guest, saved anew: another file. */
	fixture->ram.dirty = NULL;
	fixture_save(fixture, first, NULL);
	assert_open_fails(second, second, "has been replaced");
}

static void test_other_size(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *first = fixture_path(fixture, "0.snap");
	g_autofree char *second = fixture_path(fixture, "1.snap");

	(void)unused;
	make_chain(fixture, 1);
	fixture->state->memory = fixture->ram.size = FIXTURE_RAM - SNAPSHOT_PAGE;
	assert_save_fails(fixture, second, first, "another size of memory");
	fixture->state->memory = fixture->ram.size = FIXTURE_RAM;
}

/* Nobody saws off the branch that the new file sits on. */
static void test_parent_as_target(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *first = fixture_path(fixture, "0.snap");
	g_autofree char *third = fixture_path(fixture, "2.snap");
	g_autoptr(Snapshot) snapshot = NULL;

	(void)unused;
	make_chain(fixture, 3);
	assert_save_fails(fixture, third, third, "must not replace it");
	assert_save_fails(fixture, first, third, "must not replace it");
	snapshot = snapshot_open(third, NULL);
	g_assert_nonnull(snapshot);
}

/* Parents elsewhere are found from where the file is, not from where the program runs. */
static void test_folders(SnapshotFixture *fixture, const void *unused)
{
	static const char *const folders[] = {"a", "a/b", "c"};
	g_autofree char *full = fixture_path(fixture, "a/b/full.snap");
	g_autofree char *next = fixture_path(fixture, "c/next.snap");
	g_autofree char *last = fixture_path(fixture, "last.snap");
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = NULL;
	FileHeader header;

	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *path = fixture_path(fixture, folders[i]);

		g_assert_cmpint(mkdir(path, 0700), ==, 0);
	}
	fixture_save(fixture, full, NULL);
	fixture_fill_page(fixture, 5, 5);
	fixture_save(fixture, next, full);
	fixture_fill_page(fixture, 6, 6);
	fixture_save(fixture, last, next);
	read_header(next, &header);
	g_assert_cmpstr(header.parent, ==, "../a/b/full.snap");
	read_header(last, &header);
	g_assert_cmpstr(header.parent, ==, "c/next.snap");
	snapshot = snapshot_open(last, &error);
	g_assert_no_error(error);
	fixture_assert_ram(fixture, snapshot);
	g_remove(full);
	g_remove(next);
	for (size_t i = G_N_ELEMENTS(folders); i-- > 0;) {
		g_autofree char *path = fixture_path(fixture, folders[i]);

		g_assert_cmpint(g_rmdir(path), ==, 0);
	}
}

/* What is read into a running guest's memory has been looked at: one bit in the increment. */
static void test_damaged_increment(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *second = fixture_path(fixture, "1.snap");
	g_autofree uint8_t *ram = g_malloc(FIXTURE_RAM);
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = NULL;
	FileHeader header;
	uint8_t byte;
	int fd;

	(void)unused;
	make_chain(fixture, 2);
	read_header(second, &header);
	fd = open(second, O_RDWR | O_CLOEXEC);
	g_assert_cmpint(pread(fd, &byte, 1, (off_t)header.ram_offset + 100), ==, 1);
	byte ^= 1;
	g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)header.ram_offset + 100), ==, 1);
	close(fd);
	snapshot = snapshot_open(second, &error);
	g_assert_no_error(error);
	g_assert_false(snapshot_apply_increments(snapshot, ram, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, second));
	g_clear_error(&error);
	g_assert_false(snapshot_verify_ram(snapshot, NULL, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
}

/* An increment's two bitmaps may differ, but what is stored is known. */
static void test_stored_unknown(SnapshotFixture *fixture, const void *unused)
{
	g_autofree char *second = fixture_path(fixture, "1.snap");
	FileHeader header;
	FileRecord record;
	int fd;

	(void)unused;
	make_chain(fixture, 2);
	read_header(second, &header);
	fd = open(second, O_RDWR | O_CLOEXEC);
	g_assert_cmpint(pread(fd, &record, sizeof(record), (off_t)header.index.offset), ==,
			sizeof(record));
	g_assert_cmphex(record.stored[0], ==, 1);
	record.known[0] = 2;
	g_assert_cmpint(pwrite(fd, &record, sizeof(record), (off_t)header.index.offset), ==,
			sizeof(record));
	close(fd);
	header.index.checksum = file_piece_checksum(&record, 1, 0);
	write_header(second, &header);
	assert_open_fails(second, second, "the index is damaged");
}

#define ADD(name, function)                                                                \
	g_test_add("/snapshot-chain/" name, SnapshotFixture, NULL, fixture_init, function, \
		   fixture_finish)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("longest", test_longest);
	ADD("too-long", test_too_long);
	ADD("loop", test_loop);
	ADD("parent-gone", test_parent_gone);
	ADD("other-size", test_other_size);
	ADD("parent-as-target", test_parent_as_target);
	ADD("folders", test_folders);
	ADD("damaged-increment", test_damaged_increment);
	ADD("stored-unknown", test_stored_unknown);
	return g_test_run();
}
