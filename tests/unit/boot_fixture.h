// SPDX-License-Identifier: MIT
/* A folder for the images, a guest's memory, and how an image is packed, loaded and refused. */
#ifndef UMBRA_TESTS_BOOT_FIXTURE_H
#define UMBRA_TESTS_BOOT_FIXTURE_H

#include "base/error.h"
#include "base/layout.h"
#include "boot/boot.h"
#include "boot_images.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

typedef struct Fixture {
	char *folder;
	char *kernel;
	char *initrd;
	GuestMemory *memory;
	BootEntry entry;
	GError *error;
} Fixture;

static inline void set_up(Fixture *f, gconstpointer data)
{
	(void)data;
	f->folder = g_dir_make_tmp("umbra-boot-XXXXXX", NULL);
	f->kernel = g_build_filename(f->folder, "kernel", NULL);
	f->initrd = g_build_filename(f->folder, "initrd", NULL);
	f->memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
}

static inline void tear_down(Fixture *f, gconstpointer data)
{
	(void)data;
	g_unlink(f->kernel);
	g_unlink(f->initrd);
	g_rmdir(f->folder);
	g_free(f->folder);
	g_free(f->kernel);
	g_free(f->initrd);
	guest_memory_destroy(f->memory);
	g_clear_error(&f->error);
}

static inline void write_file(const char *path, const void *bytes, size_t size)
{
	g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
}

static inline void write_elf(Fixture *f, bool pvh)
{
	uint8_t image[ELF_SIZE];

	make_elf(image);
	if (!pvh)
		put(image, ELF_XEN_NOTE + 8, 4, 6);
	write_file(f->kernel, image, sizeof(image));
}

/* A payload as Linux's build makes it: compressed, with zstd's checksum, and the size behind. */
static inline uint8_t *pack_zstd(const void *bytes, size_t size, size_t *ret_size)
{
	size_t bound = ZSTD_compressBound(size) + 4;
	uint8_t *packed = g_malloc(bound);
	ZSTD_CCtx *context = ZSTD_createCCtx();
	size_t n;

	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	n = ZSTD_compress2(context, packed, bound, bytes, size);
	ZSTD_freeCCtx(context);
	g_assert_false(ZSTD_isError(n));
	put(packed, n, 4, size);
	*ret_size = n + 4;
	return packed;
}

static inline uint8_t *pack_gzip(const void *bytes, size_t size, size_t *ret_size)
{
	uint8_t *packed = g_malloc(size + 100);
	z_stream stream = {
		.next_in = (Bytef *)bytes,
		.avail_in = (uInt)size,
		.next_out = packed,
		.avail_out = (uInt)size + 100,
	};

	deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
	g_assert_cmpint(deflate(&stream, Z_FINISH), ==, Z_STREAM_END);
	*ret_size = stream.total_out;
	deflateEnd(&stream);
	return packed;
}

/* Writes a bzImage around `payload`, with one field patched if `width` is not 0. */
static inline void write_bzimage(Fixture *f, const void *payload, size_t size, size_t at,
				 size_t width, uint64_t value)
{
	size_t n;
	g_autofree uint8_t *image = make_bzimage(payload, size, &n);

	put(image, at, width, value);
	write_file(f->kernel, image, n);
}

static inline void write_zstd_bzimage(Fixture *f, size_t at, size_t width, uint64_t value)
{
	uint8_t elf[ELF_SIZE];
	size_t size;

	make_elf(elf);
	g_autofree uint8_t *payload = pack_zstd(elf, sizeof(elf), &size);
	write_bzimage(f, payload, size, at, width, value);
}

static inline bool load(Fixture *f, const char *initrd, const char *cmdline)
{
	BootSource source = {f->kernel, initrd, cmdline, 0xe0000};

	g_clear_error(&f->error);
	return boot_load(&source, f->memory, &f->entry, &f->error);
}

static inline const uint8_t *at(Fixture *f, uint64_t gpa, uint64_t size)
{
	const uint8_t *bytes = guest_memory_at(f->memory, gpa, size);

	g_assert_nonnull(bytes);
	return bytes;
}

static inline void refuse(Fixture *f, const char *initrd, const char *cmdline, int code,
			  const char *says)
{
	g_assert_false(load(f, initrd, cmdline));
	g_assert_error(f->error, UMBRA_ERROR, code);
	if (!strstr(f->error->message, says))
		g_error("'%s' says nothing of '%s'", f->error->message, says);
	g_assert_null(strchr(f->error->message, '\n'));
}

typedef struct BootTest {
	const char *name;
	void (*test)(Fixture *, gconstpointer);
} BootTest;

static inline int run_boot_tests(int argc, char **argv, const BootTest *tests, size_t n_tests,
				 const char *cache_home)
{
	g_test_init(&argc, &argv, NULL);
	/* No kernel of a test belongs into the user's cache. */
	g_setenv("XDG_CACHE_HOME", cache_home, TRUE);
	for (size_t i = 0; i < n_tests; i++) {
		g_autofree char *path = g_strconcat("/boot/", tests[i].name, NULL);

		g_test_add(path, Fixture, NULL, set_up, tests[i].test, tear_down);
	}
	return g_test_run();
}

#endif
