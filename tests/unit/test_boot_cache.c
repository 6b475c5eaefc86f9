// SPDX-License-Identifier: MIT
/*
 * The cache of unpacked kernels: that it is used, that it stays bounded, and
 * that nothing in it is believed that is not whole and ours.
 */
#include "boot_fixture.h"

#define FIRST  "unpacked by umbra"
#define CACHED "unpacked before"

static char *folder_path(void)
{
	return g_build_filename(g_get_user_cache_dir(), "umbra", "kernels", NULL);
}

/* The files in the cache; with `empty`, none is left. */
static unsigned count(bool empty, char **ret_last)
{
	g_autofree char *path = folder_path();
	g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
	const char *name;
	unsigned n = 0;

	while (folder && (name = g_dir_read_name(folder))) {
		g_autofree char *file = g_build_filename(path, name, NULL);

		n++;
		if (empty)
			g_remove(file);
		if (ret_last) {
			g_free(*ret_last);
			*ret_last = g_steal_pointer(&file);
		}
	}
	return n;
}

static void expect(Fixture *f, const char *via)
{
	guest_memory_destroy(f->memory);
	f->memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	g_assert_true(load(f, NULL, ""));
	g_assert_no_error(f->error);
	g_assert_nonnull(strstr(f->entry.via, via));
	g_assert_cmphex(*at(f, 0x1000000, 1), ==, 0x11);
	g_assert_cmphex(*at(f, 0x1200fff, 1), ==, 0x22);
	g_assert_cmphex(*at(f, 0x1201000, 1), ==, 0);
}

/* Starts from one entry, whose path it returns. */
static char *fill(Fixture *f)
{
	char *entry = NULL;

	count(true, NULL);
	write_zstd_bzimage(f, 0, 0, 0);
	expect(f, FIRST);
	g_assert_cmpuint(count(false, &entry), ==, 1);
	return entry;
}

static void test_used(Fixture *f, gconstpointer data)
{
	g_autofree char *entry = fill(f), *folder = folder_path();
	struct stat s;

	(void)data;
	expect(f, CACHED);
	expect(f, CACHED);
	g_assert_cmpuint(count(false, NULL), ==, 1);
	g_assert_cmpint(stat(entry, &s), ==, 0);
	g_assert_cmphex(s.st_mode & 07777, ==, 0600);
	g_assert_cmpint(stat(folder, &s), ==, 0);
	g_assert_cmphex(s.st_mode & 07777, ==, 0700);
	/* The same bytes written anew are another source. */
	write_zstd_bzimage(f, 0, 0, 0);
	expect(f, FIRST);
}

static void test_every_cut(Fixture *f, gconstpointer data)
{
	g_autofree char *entry = fill(f), *whole = NULL;
	size_t size;

	(void)data;
	g_assert_true(g_file_get_contents(entry, &whole, &size, NULL));
	for (size_t n = 0; n<size; n += n> size - 60 ? 1 : 509) {
		g_assert_cmpint(truncate(entry, (off_t)n), ==, 0);
		expect(f, FIRST);
		/* And it was replaced by a whole one. */
		expect(f, CACHED);
	}
	g_assert_cmpint(truncate(entry, (off_t)size + 1), ==, 0);
	expect(f, FIRST);
}

static void test_every_byte(Fixture *f, gconstpointer data)
{
	g_autofree char *entry = fill(f), *whole = NULL;
	size_t size;

	(void)data;
	g_assert_true(g_file_get_contents(entry, &whole, &size, NULL));
	for (size_t i = 0; i<size; i += i> size - 60 ? 1 : 61) {
		whole[i] ^= 0x40;
		g_assert_true(g_file_set_contents_full(entry, whole, (gssize)size,
						       G_FILE_SET_CONTENTS_NONE, 0600, NULL));
		whole[i] ^= 0x40;
		expect(f, FIRST);
	}
}

/* The right bytes in the wrong order, near and far, are not the right bytes. */
static void test_order(Fixture *f, gconstpointer data)
{
	static const size_t pairs[][2] = {{24, 32}, {24, 40}, {0x1100, 0x1108}, {0x1000, 0x2000}};
	g_autofree char *entry = fill(f), *whole = NULL;
	size_t size;

	(void)data;
	g_assert_true(g_file_get_contents(entry, &whole, &size, NULL));
	for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
		g_autofree char *swapped = g_memdup2(whole, size);

		memcpy(swapped + pairs[i][0], whole + pairs[i][1], 8);
		memcpy(swapped + pairs[i][1], whole + pairs[i][0], 8);
		g_assert_true(g_file_set_contents_full(entry, swapped, (gssize)size,
						       G_FILE_SET_CONTENTS_NONE, 0600, NULL));
		expect(f, FIRST);
	}
}

static void test_not_ours_alone(Fixture *f, gconstpointer data)
{
	g_autofree char *entry = fill(f), *folder = folder_path(), *elsewhere = NULL;

	(void)data;
	g_assert_cmpint(chmod(entry, 0620), ==, 0);
	expect(f, FIRST);
	g_assert_cmpint(chmod(folder, 0710), ==, 0);
	expect(f, FIRST);
	expect(f, FIRST);
	g_assert_cmpint(chmod(folder, 0700), ==, 0);
	expect(f, CACHED);
	/* What the entry's name points to, however good, is not the entry. */
	elsewhere = g_strconcat(entry, ".moved", NULL);
	g_assert_cmpint(rename(entry, elsewhere), ==, 0);
	g_assert_cmpint(symlink(elsewhere, entry), ==, 0);
	expect(f, FIRST);
	g_unlink(elsewhere);
	if (geteuid() == 0) {
		g_assert_cmpint(chown(entry, 1, 1), ==, 0);
		expect(f, FIRST);
		g_assert_cmpint(chown(folder, 1, 1), ==, 0);
		expect(f, FIRST);
		expect(f, FIRST);
		g_assert_cmpint(chown(folder, 0, 0), ==, 0);
	} else {
		g_test_message("not root: foreign owners were not tried");
	}
}

static void test_bounded(Fixture *f, gconstpointer data)
{
	static const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	g_autofree char *entry = fill(f), *leavings = g_strconcat(entry, ".new", NULL);
	g_autofree char *used = g_build_filename(f->folder, "used", NULL);
	g_autofree char *kernel = f->kernel;

	(void)data;
	g_assert_true(g_file_set_contents(leavings, "x", 1, NULL));
	for (int i = 0; i < 12; i++) {
		f->kernel = kernel;
		write_zstd_bzimage(f, 0, 0, 0);
		expect(f, FIRST);
		/* Four, and the temporary file. */
		g_assert_cmpuint(count(false, NULL), <=, 5);
		/* One that is in use stays, however many come after it. */
		f->kernel = used;
		if (i == 0)
			write_zstd_bzimage(f, 0, 0, 0);
		expect(f, i == 0 ? FIRST : CACHED);
	}
	/* A young temporary file may be somebody's work; an old one is a crash's leavings. */
	g_assert_true(g_file_test(leavings, G_FILE_TEST_EXISTS));
	g_assert_cmpint(utimensat(AT_FDCWD, leavings, old, 0), ==, 0);
	f->kernel = kernel;
	write_zstd_bzimage(f, 0, 0, 0);
	expect(f, FIRST);
	g_assert_false(g_file_test(leavings, G_FILE_TEST_EXISTS));
	g_assert_cmpuint(count(false, NULL), ==, 4);
	g_unlink(used);
	g_steal_pointer(&kernel);
}

static void test_no_cache(Fixture *f, gconstpointer data)
{
	g_autofree char *folder = folder_path();

	(void)data;
	count(true, NULL);
	g_rmdir(folder);
	g_assert_true(g_file_set_contents(folder, "a file in its place", -1, NULL));
	write_zstd_bzimage(f, 0, 0, 0);
	expect(f, FIRST);
	expect(f, FIRST);
	g_unlink(folder);
	expect(f, FIRST);
	expect(f, CACHED);
}

static void test_no_rubbish(Fixture *f, gconstpointer data)
{
	static const char not_elf[5000] = "not a kernel at all";
	size_t size;

	(void)data;
	count(true, NULL);
	g_autofree uint8_t *payload = pack_zstd(not_elf, sizeof(not_elf), &size);
	write_bzimage(f, payload, size, 0, 0, 0);
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, f->kernel);
	g_assert_cmpuint(count(false, NULL), ==, 0);
}

int main(int argc, char **argv)
{
	static const BootTest tests[] = {
		{"cache/used", test_used},
		{"cache/every-cut", test_every_cut},
		{"cache/every-byte", test_every_byte},
		{"cache/order", test_order},
		{"cache/not-ours-alone", test_not_ours_alone},
		{"cache/bounded", test_bounded},
		{"cache/no-cache", test_no_cache},
		{"cache/no-rubbish", test_no_rubbish},
	};
	g_autofree char *home = g_dir_make_tmp("umbra-cache-XXXXXX", NULL);
	g_autofree char *umbra = g_build_filename(home, "umbra", NULL);
	g_autofree char *kernels = g_build_filename(umbra, "kernels", NULL);
	int status;

	status = run_boot_tests(argc, argv, tests, G_N_ELEMENTS(tests), home);
	count(true, NULL);
	g_rmdir(kernels);
	g_rmdir(umbra);
	g_rmdir(home);
	return status;
}
