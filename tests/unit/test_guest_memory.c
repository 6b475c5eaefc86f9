// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "base/layout.h"
#include "mem/guest_memory.h"
#include "mem/presence.h"
#include "mem/ram_compare.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_small(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, &error);

	g_assert_no_error(error);
	g_assert_cmpuint(memory->n_regions, ==, 1);
	g_assert_nonnull(guest_memory_at(memory, 0, 64 * LAYOUT_MIB));
	g_assert_null(guest_memory_at(memory, 0, 64 * LAYOUT_MIB + 1));
	g_assert_null(guest_memory_at(memory, 64 * LAYOUT_MIB, 1));
	g_assert_null(guest_memory_at(memory, 4096, UINT64_MAX));
	g_assert_null(guest_memory_at(memory, UINT64_MAX, 2));
}

static void test_hole(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GuestMemory) memory = guest_memory_create(5 * LAYOUT_GIB, &error);
	uint32_t value = 0x12345678, back = 0;

	g_assert_no_error(error);
	g_assert_cmpuint(memory->n_regions, ==, 2);
	g_assert_nonnull(guest_memory_at(memory, 3 * LAYOUT_GIB - 8, 8));
	g_assert_null(guest_memory_at(memory, 3 * LAYOUT_GIB - 8, 9));
	g_assert_null(guest_memory_at(memory, 3 * LAYOUT_GIB, 1));
	g_assert_null(guest_memory_at(memory, 4 * LAYOUT_GIB - 1, 1));
	g_assert_nonnull(guest_memory_at(memory, 4 * LAYOUT_GIB, 2 * LAYOUT_GIB));
	g_assert_null(guest_memory_at(memory, 4 * LAYOUT_GIB, 2 * LAYOUT_GIB + 1));

	g_assert_true(guest_memory_write(memory, 6 * LAYOUT_GIB - 4, &value, 4));
	g_assert_false(guest_memory_write(memory, 6 * LAYOUT_GIB - 3, &value, 4));
	g_assert_true(guest_memory_read(memory, 6 * LAYOUT_GIB - 4, &back, 4));
	g_assert_cmphex(back, ==, value);
}

/* Huge pages need the low 21 bits of host and guest-physical address to agree. */
static void test_alignment(void)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t size = 4 * LAYOUT_GIB + i * 4096;
		g_autoptr(GuestMemory) memory = guest_memory_create(size, NULL);

		for (unsigned r = 0; r < memory->n_regions; r++)
			g_assert_cmphex((uintptr_t)memory->regions[r].host % 0x200000, ==, 0);
		*(uint8_t *)guest_memory_at(memory, 5 * LAYOUT_GIB + i * 4096 - 1, 1) = 1;
	}
}

static void test_refused_sizes(void)
{
	static const uint64_t bad[] = {
		0,
		1,
		4096,
		64 * LAYOUT_MIB - 4096,
		64 * LAYOUT_MIB + 1,
		LAYOUT_RAM_MAX + 4096,
		UINT64_MAX,
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(guest_memory_create(bad[i], &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
	}
}

/* Whatever holds data has its bit; far from it, bits are clear. */
static void test_presence(void)
{
	g_autoptr(GuestMemory) memory = guest_memory_create(256 * LAYOUT_MIB, NULL);
	uint64_t page = 100 * LAYOUT_MIB / 4096;

	memory->base[page * 4096 + 17] = 1;
	g_autofree uint64_t *bitmap = memory_presence(memory);

	g_assert_true(bitmap[page / 64] >> page % 64 & 1);
	for (uint64_t far = 0; far < 16 * LAYOUT_MIB / 4096; far += 64)
		g_assert_cmphex(bitmap[far / 64], ==, 0);
}

/* In RAM that comes from a file, a page that nobody touched may hold anything. */
static void test_presence_of_file(void)
{
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, NULL);

	memory->from_file = true;
	g_autofree uint64_t *bitmap = memory_presence(memory);

	for (uint64_t page = 0; page < 64 * LAYOUT_MIB / 4096; page += 64)
		g_assert_cmphex(bitmap[page / 64], ==, UINT64_MAX);
}

/* A file of `size` bytes of holes, with `text` at `at`. */
static int make_file(uint64_t size, uint64_t at, const char *text)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
	g_assert_cmpint(pwrite(fd, text, strlen(text), (off_t)at), ==, (ssize_t)strlen(text));
	return fd;
}

static void test_from_file(void)
{
	const uint64_t size = 4 * LAYOUT_GIB, offset = 4096 * 3, gpa = 4 * LAYOUT_GIB + 5;
	g_autoptr(GError) error = NULL;
	int fd = make_file(offset + size, offset + 3 * LAYOUT_GIB + 5, "beyond the hole");
	g_autoptr(GuestMemory) memory = guest_memory_create_from_file(size, fd, offset, &error);
	char text[16] = "";

	g_assert_no_error(error);
	g_assert_true(guest_memory_read(memory, gpa, text, 15));
	g_assert_cmpstr(text, ==, "beyond the hole");
	g_assert_true(guest_memory_read(memory, 0, text, 1));
	g_assert_cmpint(text[0], ==, 0);
	/* What is written stays here. */
	g_assert_true(guest_memory_write(memory, gpa, "changed", 7));
	g_assert_cmpint(pread(fd, text, 15, (off_t)(offset + 3 * LAYOUT_GIB + 5)), ==, 15);
	g_assert_cmpstr(text, ==, "beyond the hole");
	close(fd);
}

static uint64_t blocks_of(int fd)
{
	struct stat status;

	g_assert_cmpint(fstat(fd, &status), ==, 0);
	return (uint64_t)status.st_blocks;
}

/* All that is in the file is in memory, and what is done to memory takes no room in the file. */
static void test_from_file_with_holes(void)
{
	const uint64_t size = 96 * LAYOUT_MIB, offset = 5 * 4096, block = 2 * LAYOUT_MIB;
	const uint64_t places[] = {
		0,	 block - 1, 6 * block + 4096, 8 * block - 1, 9 * block + 77, 20 * block + 1,
		size - 1};
	int fd = make_file(offset + size + 4096, offset + size, "behind it");

	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++)
		g_assert_cmpint(pwrite(fd, "x", 1, (off_t)(offset + places[i])), ==, 1);
	g_autoptr(GuestMemory) memory = guest_memory_create_from_file(size, fd, offset, NULL);
	uint64_t before = blocks_of(fd), found = 0;

	for (uint64_t at = 0; at < size; at++)
		if (memory->base[at] != 0)
			g_assert_cmpuint(at, ==, places[found++]);
	g_assert_cmpuint(found, ==, G_N_ELEMENTS(places));
	for (uint64_t at = 10 * block; at < 20 * block; at += 4096)
		memory->base[at] = 1;
	/* The rest of a block with data is the file's. */
	g_assert_cmpuint(blocks_of(fd) - before, <=, 6 * block / 512);
	close(fd);
}

/* Holes without number must not become as many mappings. */
static void test_from_file_in_crumbs(void)
{
	const uint64_t size = 16 * LAYOUT_GIB, step = 4 * LAYOUT_MIB;
	int fd = make_file(size, 0, "x");

	for (uint64_t at = 0; at < size; at += step)
		g_assert_cmpint(pwrite(fd, "x", 1, (off_t)at), ==, 1);
	g_autoptr(GuestMemory) memory = guest_memory_create_from_file(size, fd, 0, NULL);
	g_autofree char *maps = NULL;
	unsigned lines = 0;

	g_assert_nonnull(memory);
	for (uint64_t at = 0; at < size; at += step)
		g_assert_cmpuint(memory->base[at], ==, 'x');
	g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
	for (const char *at = maps; (at = strchr(at, '\n')); at++)
		lines++;
	g_assert_cmpuint(lines, <, 1200);
	close(fd);
}

static void test_from_no_file(void)
{
	g_autoptr(GError) size = NULL, file = NULL;

	g_assert_null(guest_memory_create_from_file(4096, 0, 0, &size));
	g_assert_error(size, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	g_assert_null(guest_memory_create_from_file(64 * LAYOUT_MIB, -1, 0, &file));
	g_assert_error(file, UMBRA_ERROR, UMBRA_ERROR_FAILED);
	g_assert_nonnull(strstr(file->message, g_strerror(EBADF)));
}

static void test_compare(void)
{
	const uint64_t size = 3 * LAYOUT_GIB + 40 * 4096;
	g_autoptr(GuestMemory) a = guest_memory_create(size, NULL);
	g_autoptr(GuestMemory) b = guest_memory_create(size, NULL);
	g_autofree uint64_t *none = g_new0(uint64_t, size / 4096 / 64 + 1);
	g_autofree uint64_t *all = g_new0(uint64_t, size / 4096 / 64 + 1);
	RamDifference difference;

	memset(all, 0xff, (size / 4096 / 64 + 1) * sizeof(*all));
	ram_compare(a, b, all, all, &difference);
	g_assert_cmpuint(difference.pages, ==, size / 4096);
	g_assert_cmpuint(difference.different, ==, 0);
	/* The first and the last byte of a page, and ten pages above the hole. */
	*(uint8_t *)guest_memory_at(a, 0x5000, 1) = 1;
	*(uint8_t *)guest_memory_at(b, 0x7fff, 1) = 1;
	for (unsigned i = 0; i < 10; i++)
		*(uint8_t *)guest_memory_at(a, 4 * LAYOUT_GIB + i * 8192, 1) = 1;
	ram_compare(a, b, none, all, &difference);
	g_assert_cmpuint(difference.different, ==, 12);
	g_assert_cmphex(difference.first[0], ==, 0x5000);
	g_assert_cmphex(difference.first[1], ==, 0x7000);
	g_assert_cmphex(difference.first[2], ==, 0x100000000);
	g_assert_cmphex(difference.first[7], ==, 0x10000a000);
	/* Only what one of the two stores: page 7, and the second one above the hole. */
	none[0] = 1 << 7;
	none[3 * LAYOUT_GIB / 4096 / 64] = 1 << 2;
	ram_compare(a, b, none, none, &difference);
	g_assert_cmpuint(difference.different, ==, 2);
	g_assert_cmphex(difference.first[0], ==, 0x7000);
	g_assert_cmphex(difference.first[1], ==, 0x100002000);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/guest-memory/small", test_small);
	g_test_add_func("/guest-memory/hole", test_hole);
	g_test_add_func("/guest-memory/alignment", test_alignment);
	g_test_add_func("/guest-memory/refused-sizes", test_refused_sizes);
	g_test_add_func("/presence/anonymous", test_presence);
	g_test_add_func("/presence/file", test_presence_of_file);
	g_test_add_func("/guest-memory/from-file", test_from_file);
	g_test_add_func("/guest-memory/from-file-with-holes", test_from_file_with_holes);
	g_test_add_func("/guest-memory/from-file-in-crumbs", test_from_file_in_crumbs);
	g_test_add_func("/guest-memory/from-no-file", test_from_no_file);
	g_test_add_func("/guest-memory/compare", test_compare);
	return g_test_run();
}
