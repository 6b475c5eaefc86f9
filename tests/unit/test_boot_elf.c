// SPDX-License-Identifier: MIT
/* The ELF parser: what it takes out of a good image, and each way in which one can be bad. */
#include "base/error.h"
#include "base/layout.h"
#include "boot/elf.h"
#include "boot_images.h"

static bool parse(const uint8_t *image, size_t size, ElfImage *ret, GError **error)
{
	/* An exact heap block, so that a sanitizer sees a read behind the end. */
	g_autofree uint8_t *copy = g_memdup2(image, size);
	BootFile file;

	boot_file_init_bytes(&file, "k.elf", copy, size, 0);
	return elf_parse(&file, ret, error);
}

static void test_good(void)
{
	g_autoptr(GError) error = NULL;
	uint8_t image[ELF_SIZE];
	ElfImage elf;

	make_elf(image);
	g_assert_true(parse(image, sizeof(image), &elf, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(elf.n_segments, ==, 2);
	g_assert_cmphex(elf.segments[0].gpa, ==, 0x1000000);
	g_assert_cmphex(elf.segments[0].offset, ==, 0x1000);
	g_assert_cmphex(elf.segments[0].filesz, ==, 0x800);
	g_assert_cmphex(elf.segments[0].memsz, ==, 0x1000);
	g_assert_cmphex(elf.segments[1].gpa, ==, 0x1200000);
	g_assert_cmphex(elf.entry, ==, 0x1000020);
	g_assert_true(elf.has_pvh);
	g_assert_cmphex(elf.pvh_entry, ==, 0x1000010);
}

/* Other good ones: what they change must not be an error. */
static void test_also_good(void)
{
	g_autoptr(GError) error = NULL;
	uint8_t image[ELF_SIZE];
	ElfImage elf;

	make_elf(image);
	put(image, ELF_XEN_NOTE + 4, 4, 4); /* a four-byte entry, the last of its segment */
	put(image, ELF_XEN_NOTE + 16, 8, 0x1202fff);
	put(image, ELF_PROGRAM2 + 32, 8, 44);
	g_assert_true(parse(image, sizeof(image), &elf, &error));
	g_assert_no_error(error);
	g_assert_cmphex(elf.pvh_entry, ==, 0x1202fff);

	make_elf(image);
	put(image, ELF_XEN_NOTE + 8, 4, 6); /* another of Xen's notes: no PVH */
	put(image, 16, 2, 3);		    /* position-independent */
	g_assert_true(parse(image, sizeof(image), &elf, &error));
	g_assert_no_error(error);
	g_assert_false(elf.has_pvh);

	make_elf(image);
	put(image, ELF_PROGRAM1 + 24, 8, 0x1001000); /* right behind the first */
	g_assert_true(parse(image, sizeof(image), &elf, &error));
	g_assert_no_error(error);
}

static const struct {
	const char *what;
	size_t at, width;
	uint64_t value;
	const char *says;
} bad[] = {
	{"32-bit", 4, 1, 1, "32-bit ELF"},
	{"class", 4, 1, 3, "not a 64-bit"},
	{"big-endian", 5, 1, 2, "little-endian"},
	{"relocatable", 16, 2, 1, "not linked"},
	{"core", 16, 2, 4, "not linked"},
	{"aarch64", 18, 2, 183, "another machine (type 183"},
	{"phentsize", 54, 2, 32, "unknown size"},
	{"no headers", 56, 2, 0, "without program headers"},
	{"too many headers", 56, 2, 0xffff, "too many"},
	{"headers behind the end", 32, 8, ELF_SIZE - 100, "program headers are missing"},
	{"headers wrap", 32, 8, UINT64_MAX - 50, "program headers are missing"},
	{"filesz over memsz", ELF_PROGRAM0 + 32, 8, 0x1001, "larger in the file"},
	{"segment behind the end", ELF_PROGRAM1 + 8, 8, 0x2001, "is truncated"},
	{"offset wraps", ELF_PROGRAM1 + 8, 8, UINT64_MAX - 10, "is truncated"},
	{"first MiB", ELF_PROGRAM0 + 24, 8, 0xff000, "first MiB"},
	{"address wraps", ELF_PROGRAM1 + 24, 8, UINT64_MAX - 0x2000, "wraps"},
	{"memsz wraps", ELF_PROGRAM1 + 40, 8, UINT64_MAX, "wraps"},
	{"overlap from below", ELF_PROGRAM1 + 24, 8, 0x1000000 - 0x2fff, "overlap"},
	{"overlap from above", ELF_PROGRAM1 + 24, 8, 0x1000fff, "overlap"},
	{"overlap around", ELF_PROGRAM0 + 24, 8, 0x1201000, "overlap"},
	{"entry in what is not loaded", ELF_PROGRAM0, 4, 0x6474e551,
	 "PVH entry 0x1000010 is in none"},
	{"entry outside", ELF_XEN_NOTE + 16, 8, 0x1001000, "PVH entry 0x1001000 is in none"},
	{"entry of 64 bits", ELF_XEN_NOTE + 16, 8, 0x101000010, "no 32-bit address"},
	{"entry of 6 bytes", ELF_XEN_NOTE + 4, 4, 6, "no 32-bit address"},
	{"note name", ELF_NOTES, 4, 0xfffffffd, "does not end"},
	{"note description", ELF_NOTES + 4, 4, 0xffffffff, "does not end"},
	{"note just too long", ELF_XEN_NOTE + 4, 4, 9, "does not end"},
	{"half a note", ELF_PROGRAM2 + 32, 8, 30, "does not end"},
	{"notes behind the end", ELF_PROGRAM2 + 8, 8, ELF_SIZE - 47, "not in the file"},
	{"notes without bound", ELF_PROGRAM2 + 32, 8, UINT64_MAX, "not in the file"},
};

static void test_bad(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		uint8_t image[ELF_SIZE];
		ElfImage elf;

		g_test_message("%s", bad[i].what);
		make_elf(image);
		put(image, bad[i].at, bad[i].width, bad[i].value);
		g_assert_false(parse(image, sizeof(image), &elf, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
		g_assert_nonnull(strstr(error->message, "k.elf"));
		if (!strstr(error->message, bad[i].says))
			g_error("%s: '%s' says nothing of '%s'", bad[i].what, error->message,
				bad[i].says);
	}
}

static void test_bad_64_bit_entry(void)
{
	g_autoptr(GError) error = NULL;
	uint8_t image[ELF_SIZE];
	ElfImage elf;

	make_elf(image);
	put(image, ELF_XEN_NOTE + 8, 4, 6);
	put(image, 24, 8, 0x1203000);
	g_assert_false(parse(image, sizeof(image), &elf, &error));
	g_assert_nonnull(strstr(error->message, "64-bit entry 0x1203000 is in none"));
}

static void test_truncated(void)
{
	uint8_t image[ELF_SIZE];

	make_elf(image);
	for (size_t size = 1; size < ELF_SIZE; size++) {
		g_autoptr(GError) error = NULL;
		ElfImage elf;

		g_assert_false(parse(image, size, &elf, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	}
}

static void test_load(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	uint8_t image[ELF_SIZE];
	BootFile file;
	ElfImage elf;
	uint8_t *at;

	make_elf(image);
	boot_file_init_bytes(&file, "k.elf", image, sizeof(image), 0);
	g_assert_true(elf_parse(&file, &elf, &error));
	g_assert_true(elf_load(&elf, &file, memory, &error));
	at = guest_memory_at(memory, 0x1000000, 0x1000);
	g_assert_cmpmem(at, 0x800, image + 0x1000, 0x800);
	g_assert_cmphex(at[0x800], ==, 0);
	at = guest_memory_at(memory, 0x1200000, 0x3000);
	g_assert_cmpmem(at, 0x1000, image + 0x2000, 0x1000);
	g_assert_cmphex(at[0x1000], ==, 0);
}

/* Where no memory is: with the size that would do, or as a broken file if none would. */
static void test_does_not_fit(void)
{
	static const struct {
		uint64_t gpa, memsz;
		int code;
		const char *says;
	} rows[] = {
		{63 * 0x100000, 0x200000, UMBRA_ERROR_USAGE, "need 65 MiB"},
		{64 * 0x100000, 0x1000, UMBRA_ERROR_USAGE, "need 65 MiB"},
		{0xbffff000, 0x1000, UMBRA_ERROR_USAGE, "need 3072 MiB"},
		{0xbffff000, 0x1001, UMBRA_ERROR_INPUT, "where no guest has memory"},
		{0xfee00000, 0x1000, UMBRA_ERROR_INPUT, "where no guest has memory"},
		{0x100000000, 0x100000, UMBRA_ERROR_USAGE, "need 3073 MiB"},
		{UINT64_C(1) << 60, 0x1000, UMBRA_ERROR_INPUT, "where no guest has memory"},
	};
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		uint8_t image[ELF_SIZE];
		BootFile file;
		ElfImage elf;

		make_elf(image);
		put(image, ELF_PROGRAM1 + 24, 8, rows[i].gpa);
		put(image, ELF_PROGRAM1 + 40, 8, rows[i].memsz);
		boot_file_init_bytes(&file, "k.elf", image, sizeof(image), 0);
		g_assert_true(elf_parse(&file, &elf, &error));
		g_assert_false(elf_load(&elf, &file, memory, &error));
		g_assert_error(error, UMBRA_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, rows[i].says));
		/* Refused before anything was copied. */
		g_assert_cmphex(*(uint8_t *)guest_memory_at(memory, 0x1000000, 1), ==, 0);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/boot-elf/good", test_good);
	g_test_add_func("/boot-elf/also-good", test_also_good);
	g_test_add_func("/boot-elf/bad", test_bad);
	g_test_add_func("/boot-elf/bad-64-bit-entry", test_bad_64_bit_entry);
	g_test_add_func("/boot-elf/truncated", test_truncated);
	g_test_add_func("/boot-elf/load", test_load);
	g_test_add_func("/boot-elf/does-not-fit", test_does_not_fit);
	return g_test_run();
}
