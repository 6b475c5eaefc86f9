// SPDX-License-Identifier: MIT
/* Files that are damaged, cut off, or lie: refused with the name of what is wrong. */
#include "snapshot_fixture.h"

#include "base/error.h"
#include "snapshot/file_format.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

typedef struct File {
	FileHeader header;
	FileRecord records[16];
	unsigned n_records;
} File;

static void file_load(File *file, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	g_assert_cmpint(read(fd, &file->header, sizeof(file->header)), ==, SNAPSHOT_PAGE);
	file->n_records = file->header.index.length / sizeof(FileRecord);
	g_assert_cmpuint(file->n_records, <=, G_N_ELEMENTS(file->records));
	g_assert_cmpint(pread(fd, file->records, file->header.index.length,
			      (off_t)file->header.index.offset),
			==, (ssize_t)file->header.index.length);
	close(fd);
}

/* Writes it back with the right checksums: now nothing but the lie itself is wrong. */
static void file_store(File *file, const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	off_t at = (off_t)file->header.index.offset;

	file->header.index.checksum = file_piece_checksum(file->records, file->n_records, 0);
	file->header.checksum = file_header_checksum(&file->header);
	if (at > 0)
		g_assert_cmpint(pwrite(fd, file->records, file->n_records * sizeof(FileRecord), at),
				>, 0);
	g_assert_cmpint(pwrite(fd, &file->header, sizeof(file->header), 0), ==, SNAPSHOT_PAGE);
	close(fd);
}

static void assert_refused(const char *path, const char *why)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(path, &error);

	g_assert_null(snapshot);
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	if (!strstr(error->message, path) || (why && !strstr(error->message, why)))
		g_error("'%s' should name '%s' and say '%s'", error->message, path, why);
}

static void flip(const char *path, uint64_t offset)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	g_assert_cmpint(pread(fd, &byte, 1, (off_t)offset), ==, 1);
	byte ^= 0x10;
	g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)offset), ==, 1);
	close(fd);
}

static void test_flipped(SnapshotFixture *fixture, const void *unused)
{
	g_autoptr(Snapshot) snapshot = NULL;
	uint64_t end;
	File file;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	file_load(&file, fixture->path);
	end = file.header.index.offset + file.header.index.length;
	for (uint64_t at = 0; at < end; at++) {
		/* Between the tree and the index there are up to seven bytes of nothing. */
		if (at >= file.header.tree.offset + file.header.tree.length &&
		    at < file.header.index.offset)
			continue;
		flip(fixture->path, at);
		assert_refused(fixture->path, at < 8	  ? "is no snapshot of umbra"
					      : at < 4096 ? "the header is damaged"
					      : at < file.header.index.offset
						      ? "the state is damaged"
						      : "the index is damaged");
		flip(fixture->path, at);
	}
	snapshot = snapshot_open(fixture->path, NULL);
	g_assert_nonnull(snapshot);
}

static void test_truncated(SnapshotFixture *fixture, const void *unused)
{
	File file;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	file_load(&file, fixture->path);
	const uint64_t lengths[] = {
		file.header.length + 1, /* what follows is cut off again by the next one */
		file.header.length - 1,
		file.header.ram_offset + 1,
		file.header.ram_offset,
		file.header.index.offset + 1,
		file.header.index.offset,
		file.header.tree.offset + 1,
		SNAPSHOT_PAGE,
		SNAPSHOT_PAGE - 1,
		1,
		0,
	};
	for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
		g_assert_cmpint(truncate(fixture->path, (off_t)lengths[i]), ==, 0);
		assert_refused(fixture->path,
			       lengths[i] < SNAPSHOT_PAGE ? "too short" : "bytes long");
	}
}

#define HEADER_NUMBER(member, number, why)                                                   \
	{                                                                                    \
#member, offsetof(FileHeader, member), sizeof(((FileHeader *)NULL)->member), \
			number, why                                                          \
	}

static const struct {
	const char *name;
	size_t offset;
	size_t size;
	uint64_t value;
	const char *why;
} header_lies[] = {
	HEADER_NUMBER(compatible_version, 2, "newer"),
	HEADER_NUMBER(compatible_version, 0, "versions"),
	HEADER_NUMBER(version, 0, "versions"),
	HEADER_NUMBER(length, 0, "should be 0"),
	HEADER_NUMBER(length, UINT64_MAX, "should be"),
	HEADER_NUMBER(tree.offset, 0, "the state, said to be"),
	HEADER_NUMBER(tree.offset, 4088, "the state, said to be"),
	HEADER_NUMBER(tree.offset, 4100, "the state, said to be"),
	HEADER_NUMBER(tree.offset, UINT64_MAX - 7, "the state, said to be"),
	HEADER_NUMBER(tree.length, UINT64_MAX, "the state, said to be"),
	HEADER_NUMBER(tree.length, UINT64_MAX - 4095, "the state, said to be"),
	HEADER_NUMBER(tree.length, 32 << 20, "the index, said to be"),
	HEADER_NUMBER(index.offset, 4096, "the index, said to be"),
	HEADER_NUMBER(index.offset, 1ULL << 62, "the index, said to be"),
	HEADER_NUMBER(index.length, UINT64_MAX, "the index, said to be"),
	HEADER_NUMBER(index.length, 143, "an index of"),
	HEADER_NUMBER(index.length, 144 * 34, "an index of"),
	HEADER_NUMBER(ram_offset, 4096, "the memory, said to be"),
	HEADER_NUMBER(ram_offset, 0, "the memory, said to be"),
	HEADER_NUMBER(ram_offset, 4 << 20, "the memory, said to be"),
	HEADER_NUMBER(ram_offset, 1 << 20, "something follows"),
	HEADER_NUMBER(ram_size, 0, "something follows"),
	HEADER_NUMBER(ram_size, SNAPSHOT_PAGE, "something follows"),
	HEADER_NUMBER(ram_size, UINT64_MAX, "the memory, said to be"),
	HEADER_NUMBER(parent[0], 'x', "the name of the file"),
	HEADER_NUMBER(parent_id[3], 1, "the name of the file"),
};

static void test_header_lies(SnapshotFixture *fixture, const void *unused)
{
	File good, bad;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	file_load(&good, fixture->path);
	for (size_t i = 0; i < G_N_ELEMENTS(header_lies); i++) {
		bad = good;
		memcpy((char *)&bad.header + header_lies[i].offset, &header_lies[i].value,
		       header_lies[i].size);
		g_test_message("%s = 0x%" G_GINT64_MODIFIER "x", header_lies[i].name,
			       header_lies[i].value);
		/* The index stays where it was, whatever the header says. */
		bad.header.checksum = file_header_checksum(&bad.header);
		g_assert_true(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
		int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);
		g_assert_cmpint(pwrite(fd, &bad.header, sizeof(bad.header), 0), ==, SNAPSHOT_PAGE);
		close(fd);
		assert_refused(fixture->path, header_lies[i].why);
	}
}

/* Lies that need more than one number, with a file that is as long as it says. */
static void test_size_lies(SnapshotFixture *fixture, const void *unused)
{
	const uint64_t sizes[] = {FIXTURE_RAM + 1, FIXTURE_RAM - SNAPSHOT_PAGE,
				  LAYOUT_RAM_MAX + SNAPSHOT_PAGE};
	static const char *const why[] = {"out of range", NULL, "out of range"};
	File good, bad;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	file_load(&good, fixture->path);
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		bad = good;
		bad.header.ram_size = sizes[i];
		bad.header.length = bad.header.ram_offset + sizes[i];
		g_assert_cmpint(truncate(fixture->path, (off_t)bad.header.length), ==, 0);
		file_store(&bad, fixture->path);
		assert_refused(fixture->path, why[i]);
	}
	/* The last page is neither stored nor are there bits for it: only the state knows better.
	 */
	bad = good;
	bad.header.ram_size -= SNAPSHOT_PAGE;
	bad.header.length -= SNAPSHOT_PAGE;
	bad.n_records--;
	bad.header.index.length -= sizeof(FileRecord);
	g_assert_cmpint(truncate(fixture->path, (off_t)bad.header.length), ==, 0);
	file_store(&bad, fixture->path);
	assert_refused(fixture->path, "differ in the size of memory");
}

static void lie_unaligned(File *file)
{
	file->records[1].offset += SNAPSHOT_PAGE;
}
static void lie_beyond(File *file)
{
	file->records[file->n_records - 1].offset += FILE_BLOCK;
}
static void lie_overflow(File *file)
{
	file->records[1].offset = -(uint64_t)FILE_BLOCK;
}
static void lie_twice(File *file)
{
	file->records[1].offset = file->records[0].offset;
}
static void lie_backwards(File *file)
{
	FileRecord first = file->records[0];

	file->records[0] = file->records[1];
	file->records[1] = first;
}
static void lie_nothing(File *file)
{
	memset(file->records[1].known, 0, sizeof(file->records[1].known));
	memset(file->records[1].stored, 0, sizeof(file->records[1].stored));
}
static void lie_stored_unknown(File *file)
{
	file->records[1].known[0] = 0;
}
static void lie_known_zero(File *file)
{
	file->records[1].known[5] = 1;
}
static void lie_behind_end(File *file)
{
	FileRecord *last = &file->records[file->n_records - 1];

	last->known[0] |= 8;
	last->stored[0] |= 8;
}

static void test_index_lies(SnapshotFixture *fixture, const void *unused)
{
	static void (*const lies[])(File *) = {
		lie_unaligned, lie_beyond,	   lie_overflow,   lie_twice,	   lie_backwards,
		lie_nothing,   lie_stored_unknown, lie_known_zero, lie_behind_end,
	};
	File good, bad;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	file_load(&good, fixture->path);
	g_assert_cmpuint(good.n_records, >, 3);
	for (size_t i = 0; i < G_N_ELEMENTS(lies); i++) {
		bad = good;
		lies[i](&bad);
		file_store(&bad, fixture->path);
		assert_refused(fixture->path, "the index is damaged");
	}
}

static void assert_ram_damaged(const char *path, const char *place)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(path, &error);

	g_assert_no_error(error);
	g_assert_false(snapshot_verify_ram(snapshot, NULL, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, path));
	g_assert_nonnull(strstr(error->message, "the memory is damaged"));
	g_assert_nonnull(strstr(error->message, place));
}

/* One bit: in a stored page, beside one in its block, and in a block that is all zero. */
static void test_ram_flipped(SnapshotFixture *fixture, const void *unused)
{
	static const struct {
		uint64_t offset;
		const char *place;
	} places[] = {
		{0, "0x0 "},
		{16386 * 4096 + 4095, "0x4000000"},
		{700 * 4096 + 17, "0x200000"},
		{701 * 4096 + 17, "0x200000"},
		{5000 * 4096, "0x1200000"},
		{(64 << 20) - 1, "0x3e00000"},
	};
	File file;

	(void)unused;
	fixture_save(fixture, fixture->path, NULL);
	file_load(&file, fixture->path);
	for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
		flip(fixture->path, file.header.ram_offset + places[i].offset);
		assert_ram_damaged(fixture->path, places[i].place);
		flip(fixture->path, file.header.ram_offset + places[i].offset);
	}
}

static void test_no_files(SnapshotFixture *fixture, const void *unused)
{
	g_autoptr(GError) error = NULL;

	(void)unused;
	g_assert_null(snapshot_open(fixture->path, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_FAILED);
	g_assert_nonnull(strstr(error->message, g_strerror(ENOENT)));
	/* Nobody writes to it: a reader that waits for that would wait forever. */
	g_assert_cmpint(mkfifo(fixture->path, 0600), ==, 0);
	assert_refused(fixture->path, "is no regular file");
	assert_refused("/dev/zero", "is no regular file");
	assert_refused(fixture->folder, "is no regular file");
}

#define ADD(name, function)                                                              \
	g_test_add("/snapshot-bad/" name, SnapshotFixture, NULL, fixture_init, function, \
		   fixture_finish)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("flipped", test_flipped);
	ADD("truncated", test_truncated);
	ADD("header-lies", test_header_lies);
	ADD("size-lies", test_size_lies);
	ADD("index-lies", test_index_lies);
	ADD("ram-flipped", test_ram_flipped);
	ADD("no-files", test_no_files);
	return g_test_run();
}
