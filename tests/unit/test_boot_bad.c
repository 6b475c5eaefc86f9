// SPDX-License-Identifier: MIT
/* What boot_load() refuses, and the limits of what it takes. */
#include "boot_fixture.h"

static void test_bad_bzimage(Fixture *f, gconstpointer data)
{
	static const struct {
		const char *what;
		size_t at, width;
		uint64_t value;
		const char *says;
	} rows[] = {
		{"no magic", 0x202, 4, 0, "neither a bzImage nor an ELF"},
		{"no boot flag", 0x1fe, 2, 0, "boot signature"},
		{"old protocol", 0x206, 2, 0x20b, "2.11 is too old"},
		{"zImage", 0x211, 1, 0, "zImage"},
		{"32-bit", 0x236, 2, 0, "64-bit kernel is needed"},
		{"prefers 0", 0x258, 8, 0, "prefers address 0x0"},
		{"prefers beyond 4 GiB", 0x258, 8, 0x100000000, "prefers address"},
		{"syssize 0", 0x1f4, 4, 0, "nothing behind"},
		{"syssize too large", 0x1f4, 4, 0xffffffff, "is truncated"},
		{"setup_sects too large", 0x1f1, 1, 255, "is truncated"},
		{"payload starts outside", 0x248, 4, 0xffffffff, "payload is outside"},
		{"payload ends outside", 0x24c, 4, 0x7fffffff, "payload is outside"},
		{"payload of 3 bytes", 0x24c, 4, 3, "payload is damaged"},
		{"payload cut", 0x24c, 4, 64, "payload is damaged"},
		{"payload with a wrong byte", BZ_PAYLOAD + 40, 1, 0xa5, "damaged"},
	};

	(void)data;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%s", rows[i].what);
		write_zstd_bzimage(f, rows[i].at, rows[i].width, rows[i].value);
		refuse(f, NULL, "", UMBRA_ERROR_INPUT, rows[i].says);
		g_assert_nonnull(strstr(f->error->message, f->kernel));
	}
}

/* The size behind the payload is a claim like any other. */
static void test_lying_size(Fixture *f, gconstpointer data)
{
	static const uint64_t claims[] = {0, 1, ELF_SIZE - 1, ELF_SIZE + 1, 0x40000001, 0xffffffff};
	uint8_t elf[ELF_SIZE];
	size_t size;

	(void)data;
	make_elf(elf);
	for (size_t i = 0; i < G_N_ELEMENTS(claims); i++) {
		g_autofree uint8_t *zstd = pack_zstd(elf, sizeof(elf), &size);
		put(zstd, size - 4, 4, claims[i]);
		write_bzimage(f, zstd, size, 0, 0, 0);
		refuse(f, NULL, "", UMBRA_ERROR_INPUT, "payload is damaged");
		g_autofree uint8_t *gzip = pack_gzip(elf, sizeof(elf), &size);
		put(gzip, size - 4, 4, claims[i]);
		write_bzimage(f, gzip, size, 0, 0, 0);
		refuse(f, NULL, "", UMBRA_ERROR_INPUT, "payload is damaged");
	}
}

static void test_truncated_bzimage(Fixture *f, gconstpointer data)
{
	g_autofree char *image = NULL;
	size_t size;

	(void)data;
	write_zstd_bzimage(f, 0, 0, 0);
	g_assert_true(g_file_get_contents(f->kernel, &image, &size, NULL));
	for (size_t n = size - 16; n > 0; n -= MIN(n, 37)) {
		write_file(f->kernel, image, n);
		refuse(f, NULL, "", UMBRA_ERROR_INPUT, f->kernel);
	}
}

static void test_bad_files(Fixture *f, gconstpointer data)
{
	uint8_t noise[4096];
	guint32 seed = 1;

	(void)data;
	refuse(f, NULL, "", UMBRA_ERROR_FAILED, "No such file");
	write_file(f->kernel, "", 0);
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, "is empty");
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	write_file(f->kernel, noise, sizeof(noise));
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, "neither a bzImage nor an ELF");
	write_file(f->kernel,
		   "\x7f"
		   "ELF",
		   4);
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, "truncated ELF");
	g_unlink(f->kernel);
	g_assert_cmpint(mkfifo(f->kernel, 0600), ==, 0);
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, "not a regular file");
	g_unlink(f->kernel);
	g_assert_cmpint(g_mkdir(f->kernel, 0700), ==, 0);
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, "is a directory");
	g_rmdir(f->kernel);
	g_assert_cmpint(symlink("/dev/zero", f->kernel), ==, 0);
	refuse(f, NULL, "", UMBRA_ERROR_INPUT, "not a regular file");
}

static void test_initrd(Fixture *f, gconstpointer data)
{
	(void)data;
	write_elf(f, true);
	refuse(f, f->initrd, "", UMBRA_ERROR_FAILED, "cannot open initrd");
	refuse(f, f->folder, "", UMBRA_ERROR_INPUT, "is a directory");
	write_file(f->initrd, "", 0);
	refuse(f, f->initrd, "", UMBRA_ERROR_INPUT, "is empty");
	/* The kernel ends at 0x1203000: what is above it, to the byte, fits. */
	g_assert_cmpint(truncate(f->initrd, 0x4000000 - 0x1203000), ==, 0);
	g_assert_true(load(f, f->initrd, ""));
	g_assert_cmpint(truncate(f->initrd, 0x4000000 - 0x1203000 + 1), ==, 0);
	refuse(f, f->initrd, "", UMBRA_ERROR_USAGE, "--memory 65M would hold both");
	g_assert_cmpint(truncate(f->initrd, 0xc0000000), ==, 0);
	refuse(f, f->initrd, "", UMBRA_ERROR_USAGE, "whatever the memory");
	g_assert_cmpint(truncate(f->initrd, INT64_C(1) << 40), ==, 0);
	refuse(f, f->initrd, "", UMBRA_ERROR_USAGE, "whatever the memory");
}

/* A bzImage says how high its initrd may end, and how much it needs itself. */
static void test_initrd_limit(Fixture *f, gconstpointer data)
{
	const uint8_t *info;

	(void)data;
	write_zstd_bzimage(f, 0x22c, 4, 0x2ffffff);
	write_file(f->initrd, "initrd!", 7);
	g_assert_true(load(f, f->initrd, ""));
	info = at(f, f->entry.info, 56);
	g_assert_cmphex(get(at(f, get(info, 16, 8), 16), 0, 8), ==, 0x2fff000);

	write_zstd_bzimage(f, 0x22c, 4, 0x1000000 + 0x1fffff);
	g_assert_cmpint(truncate(f->initrd, 0x100000), ==, 0);
	g_assert_true(load(f, f->initrd, ""));
	info = at(f, f->entry.info, 56);
	/* Between the two segments, for nothing is higher. */
	g_assert_cmphex(get(at(f, get(info, 16, 8), 16), 0, 8), ==, 0x1100000);
}

static void test_init_size(Fixture *f, gconstpointer data)
{
	static const char payload[] = "\xfd"
				      "7zXZ and so on, and the size ";

	(void)data;
	write_bzimage(f, payload, sizeof(payload), 0x260, 4, 0x3000001);
	refuse(f, NULL, "", UMBRA_ERROR_USAGE, "need 65 MiB");
	write_bzimage(f, payload, sizeof(payload), 0x260, 4, 0x3000000);
	g_assert_true(load(f, NULL, ""));
	write_file(f->initrd, "initrd!", 7);
	g_assert_true(load(f, f->initrd, ""));
	/* Below the kernel, which takes the rest. */
	g_assert_cmphex(get(at(f, f->entry.info, 4096), 0x218, 4), ==, 0x1000000 - 4096);
}

static void test_cmdline(Fixture *f, gconstpointer data)
{
	g_autofree char *long_line = g_strnfill(0x10000, 'x');

	(void)data;
	/* Linux gets a word more if it is not told how to reboot: twelve characters. */
	write_zstd_bzimage(f, 0, 0, 0);
	refuse(f, NULL, long_line, UMBRA_ERROR_USAGE, "65548 characters with umbra's reboot=acpi");
	memcpy(long_line + 0x10000 - 9, " reboot=t", 9);
	refuse(f, NULL, long_line, UMBRA_ERROR_USAGE,
	       "65536 characters; this kernel takes at most 2047");
	refuse(f, NULL, long_line + 0x10000 - 2048, UMBRA_ERROR_USAGE, "2048 characters");
	g_assert_true(load(f, NULL, long_line + 0x10000 - 2047));
	write_elf(f, true);
	refuse(f, NULL, long_line, UMBRA_ERROR_USAGE, "at most 65535");
	g_assert_true(load(f, NULL, long_line + 1));
	g_assert_cmpmem(at(f, 0x20000, 0x10000), 0x10000, long_line + 1, 0x10000);
}

int main(int argc, char **argv)
{
	static const BootTest tests[] = {
		{"bad-bzimage", test_bad_bzimage},
		{"lying-size", test_lying_size},
		{"truncated-bzimage", test_truncated_bzimage},
		{"bad-files", test_bad_files},
		{"initrd", test_initrd},
		{"initrd-limit", test_initrd_limit},
		{"init-size", test_init_size},
		{"cmdline", test_cmdline},
	};

	return run_boot_tests(argc, argv, tests, G_N_ELEMENTS(tests), "/dev/null");
}
