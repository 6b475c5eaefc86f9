// SPDX-License-Identifier: MIT
/* The program is linked so that ioctl() can be told to be of an older kernel. */
#include "base/pagemap.h"

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

static bool older;
static unsigned scans;
static int answer; /* errno of the last one; 0: it was answered */

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (older) {
		errno = ENOTTY;
		return -1;
	}
	result = __real_ioctl(fd, request, argument);
	scans++;
	answer = result < 0 ? errno : 0;
	return result;
}

static uint8_t *reserve(size_t pages)
{
	uint8_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	g_assert_true(memory != MAP_FAILED);
	madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
	return memory;
}

typedef bool (*Chosen)(size_t page);

/* Touches the chosen pages, and finds these and no others, also from the middle on. */
static void assert_finds(size_t pages, Chosen chosen)
{
	uint8_t *memory = reserve(pages);
	g_autofree uint64_t *found = g_new(uint64_t, pages / 64 + 2);
	int pagemap = pagemap_open();

	g_assert_cmpint(pagemap, >=, 0);
	for (size_t page = 0; page < pages; page++)
		if (chosen(page))
			memory[page * PAGE] = 1;
	for (size_t first = 0; first < pages; first += pages / 3 + 1) {
		size_t n = pages - first;

		memset(found, 0xa5, (pages / 64 + 2) * sizeof(*found));
		g_assert_true(pagemap_find(pagemap, memory + first * PAGE, n, found));
		for (size_t i = 0; i < (n + 63) / 64 * 64; i++)
			g_assert_cmpint(found[i / 64] >> i % 64 & 1, ==,
					i < n && chosen(first + i));
		g_assert_cmphex(found[(n + 63) / 64], ==, 0xa5a5a5a5a5a5a5a5);
	}
	close(pagemap);
	munmap(memory, pages * PAGE);
}

static bool none(size_t page)
{
	(void)page;
	return false;
}

static bool every(size_t page)
{
	(void)page;
	return true;
}

static bool every_other(size_t page)
{
	return page % 2 == 1;
}

static bool lonely(size_t page)
{
	return page == 0 || page == 63 || page == 64 || page == 9999;
}

static bool runs(size_t page)
{
	return page / 100 % 3 == 1;
}

static void test_finds(void)
{
	static const Chosen chosen[] = {none, every, every_other, lonely, runs};

	for (size_t i = 0; i < G_N_ELEMENTS(chosen); i++) {
		assert_finds(10000, chosen[i]);
		assert_finds(64, chosen[i]);
		assert_finds(1, chosen[i]);
	}
}

static void test_older_kernel(void)
{
	older = true;
	test_finds();
	older = false;
}

/* What is empty costs next to nothing: one answer for 64 GiB. */
static void test_passes_over_nothing(void)
{
	size_t pages = (64UL << 30) / PAGE;
	uint8_t *memory = reserve(pages);
	g_autofree uint64_t *found = g_new(uint64_t, pages / 64);
	int pagemap = pagemap_open();

	memory[(pages - 1) * PAGE] = 1;
	scans = 0;
	g_assert_true(pagemap_find(pagemap, memory, pages, found));
	g_assert_cmpuint(scans, ==, 1);
	if (answer == ENOTTY)
		g_test_skip("the kernel is older than 6.7");
	else
		g_assert_cmpint(answer, ==, 0);
	g_assert_cmphex(found[pages / 64 - 1], ==, 1UL << 63);
	close(pagemap);
	munmap(memory, pages * PAGE);
}

static void test_nobody_tells(void)
{
	uint64_t found[1];
	int pagemap = pagemap_open();

	g_assert_false(pagemap_find(-1, found, 1, found));
	close(pagemap);
	g_assert_false(pagemap_find(pagemap, found, 1, found));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pagemap/finds", test_finds);
	g_test_add_func("/pagemap/older-kernel", test_older_kernel);
	g_test_add_func("/pagemap/passes-over-nothing", test_passes_over_nothing);
	g_test_add_func("/pagemap/nobody-tells", test_nobody_tells);
	return g_test_run();
}
