// SPDX-License-Identifier: MIT
#include "dev/bus.h"

#include <string.h>

/* A device that remembers how it was called, and reads as the offset of each byte. */
typedef struct Probe {
	GString *calls;
} Probe;

static uint64_t probe_read(void *device, uint64_t offset, unsigned size)
{
	Probe *probe = device;
	uint64_t value = 0;

	g_string_append_printf(probe->calls, "r%lu/%u ", offset, size);
	/* More than was asked for: the bus has to cut it off. */
	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)(uint8_t)(offset + i) << 8 * i;
	return value;
}

static void probe_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	Probe *probe = device;

	g_string_append_printf(probe->calls, "w%lu/%u=%lx ", offset, size, value);
}

static const IoOps any_width = {.name = "any", .read = probe_read, .write = probe_write};
static const IoOps bytes_only = {
	.name = "bytes", .read = probe_read, .write = probe_write, .width = 1};
static const IoOps dwords = {
	.name = "dwords", .read = probe_read, .write = probe_write, .width = 4};

typedef struct Access {
	uint64_t address;
	unsigned size;
	const char *read_calls;
	const char *write_calls;
	uint64_t reads_as;
} Access;

/* Written value: 0x8877665544332211, cut to the size. */
static void check(IoBus *bus, Probe *probe, IoSpace space, const Access *access)
{
	uint8_t data[16];
	uint64_t value = 0;

	memset(data, 0xa5, sizeof(data));
	g_string_truncate(probe->calls, 0);
	io_bus_access(bus, space, access->address, false, data, access->size);
	g_assert_cmpstr(probe->calls->str, ==, access->read_calls);
	memcpy(&value, data, access->size);
	g_assert_cmphex(value, ==, access->reads_as);
	for (unsigned i = access->size; i < sizeof(data); i++)
		g_assert_cmphex(data[i], ==, 0xa5);

	value = 0x8877665544332211;
	g_string_truncate(probe->calls, 0);
	io_bus_access(bus, space, access->address, true, &value, access->size);
	g_assert_cmpstr(probe->calls->str, ==, access->write_calls);
	g_assert_cmphex(value, ==, 0x8877665544332211);
}

static void run(IoSpace space, uint64_t base, uint64_t size, const IoOps *ops,
		const Access *accesses, size_t n)
{
	g_autoptr(IoBus) bus = io_bus_create();
	Probe probe = {.calls = g_string_new(NULL)};

	io_bus_add(bus, space, base, size, ops, &probe);
	for (size_t i = 0; i < n; i++)
		check(bus, &probe, space, &accesses[i]);
	g_string_free(probe.calls, TRUE);
}

static void test_pieces(void)
{
	static const Access whole[] = {
		{0x100, 1, "r0/1 ", "w0/1=11 ", 0x00},
		{0x10e, 2, "r14/2 ", "w14/2=2211 ", 0x0f0e},
		{0x104, 4, "r4/4 ", "w4/4=44332211 ", 0x07060504},
		{0x108, 8, "r8/8 ", "w8/8=8877665544332211 ", 0x0f0e0d0c0b0a0908},
		/* not aligned, and no power of two */
		{0x101, 2, "r1/1 r2/1 ", "w1/1=11 w2/1=22 ", 0x0201},
		{0x102, 4, "r2/2 r4/2 ", "w2/2=2211 w4/2=4433 ", 0x05040302},
		{0x100, 3, "r0/2 r2/1 ", "w0/2=2211 w2/1=33 ", 0x020100},
		{0x101, 7, "r1/1 r2/2 r4/4 ", "w1/1=11 w2/2=3322 w4/4=77665544 ", 0x07060504030201},
		/* over the ends */
		{0x10f, 2, "r15/1 ", "w15/1=11 ", 0xff0f},
		{0x10e, 4, "r14/2 ", "w14/2=2211 ", 0xffff0f0e},
		{0x0fe, 4, "r0/2 ", "w0/2=4433 ", 0x0100ffff},
		{0x0ff, 1, "", "", 0xff},
		{0x110, 4, "", "", 0xffffffff},
	};
	static const Access narrow[] = {
		{0x3f8, 1, "r0/1 ", "w0/1=11 ", 0x00},
		{0x3f8, 2, "r0/1 r1/1 ", "w0/1=11 w1/1=22 ", 0x0100},
		{0x3ff, 2, "r7/1 ", "w7/1=11 ", 0xff07},
	};
	static const Access four[] = {
		{0xfec00010, 8, "r16/4 r20/4 ", "w16/4=44332211 w20/4=88776655 ",
		 0x1716151413121110},
	};

	static const Access odd[] = {
		{0x200, 8, "r0/4 r4/1 ", "w0/4=44332211 w4/1=55 ", 0xffffff0403020100},
		{0x204, 4, "r4/1 ", "w4/1=11 ", 0xffffff04},
	};

	run(IO_SPACE_PORT, 0x200, 5, &any_width, odd, G_N_ELEMENTS(odd));
	run(IO_SPACE_MMIO, 0x100, 0x10, &any_width, whole, G_N_ELEMENTS(whole));
	run(IO_SPACE_PORT, 0x100, 0x10, &any_width, whole, G_N_ELEMENTS(whole));
	run(IO_SPACE_PORT, 0x3f8, 8, &bytes_only, narrow, G_N_ELEMENTS(narrow));
	run(IO_SPACE_MMIO, 0xfec00000, 0x1000, &dwords, four, G_N_ELEMENTS(four));
}

/* The last addresses there are: nothing may wrap round to the first. */
static void test_top(void)
{
	static const Access top[] = {
		{UINT64_MAX - 7, 8, "r8/8 ", "w8/8=8877665544332211 ", 0x0f0e0d0c0b0a0908},
		{UINT64_MAX, 1, "r15/1 ", "w15/1=11 ", 0x0f},
		{0, 1, "", "", 0xff},
	};

	run(IO_SPACE_MMIO, UINT64_MAX - 15, 16, &any_width, top, G_N_ELEMENTS(top));
}

static void test_nobody(void)
{
	g_autoptr(IoBus) bus = io_bus_create();
	uint64_t value = 0;

	io_bus_access(bus, IO_SPACE_PORT, 0x80, true, &value, 1);
	io_bus_access(bus, IO_SPACE_PORT, 0x80, false, &value, 1);
	g_assert_cmphex(value, ==, 0xff);
	io_bus_access(bus, IO_SPACE_MMIO, 0xd0000000, false, &value, 8);
	g_assert_cmphex(value, ==, UINT64_MAX);
}

/* Many ranges in both spaces, added in no order: each address finds its own, and gaps find none. */
static void test_many(void)
{
	enum { RANGES = 61 };
	g_autoptr(IoBus) bus = io_bus_create();
	Probe probes[2][RANGES];

	for (unsigned i = 0; i < RANGES; i++) {
		unsigned slot = i * 17 % RANGES;

		for (unsigned space = 0; space < 2; space++) {
			probes[space][slot].calls = g_string_new(NULL);
			io_bus_add(bus, space, 0x1000 + slot * 0x20 + space, 0x10, &any_width,
				   &probes[space][slot]);
		}
	}
	/* Twice over, and upwards as well as downwards: the memory of the last hit must not lie. */
	for (unsigned step = 0; step < 2 * RANGES; step++) {
		unsigned slot = step < RANGES ? step : 2 * RANGES - 1 - step;

		for (unsigned space = 0; space < 2; space++) {
			uint64_t base = 0x1000 + slot * 0x20 + space;
			uint8_t byte = 0xa5;

			g_string_truncate(probes[space][slot].calls, 0);
			io_bus_access(bus, space, base + 0xf, false, &byte, 1);
			g_assert_cmpstr(probes[space][slot].calls->str, ==, "r15/1 ");
			g_assert_cmphex(byte, ==, 0xf);
			io_bus_access(bus, space, base + 0x10, false, &byte, 1);
			g_assert_cmphex(byte, ==, 0xff);
			io_bus_access(bus, space, base - 1, false, &byte, 1);
			g_assert_cmphex(byte, ==, 0xff);
			g_assert_cmpstr(probes[space][slot].calls->str, ==, "r15/1 ");
		}
	}
	for (unsigned space = 0; space < 2; space++)
		for (unsigned i = 0; i < RANGES; i++)
			g_string_free(probes[space][i].calls, TRUE);
}

static void test_overlap(void)
{
	static const struct {
		uint64_t base, size;
	} bad[] = {{0x100, 1}, {0x0f8, 9}, {0x107, 8}, {0x0, 0x1000}, {0x200, 0}, {UINT64_MAX, 2}};
	const char *index = g_getenv("UMBRA_TEST_OVERLAP");

	if (g_test_subprocess()) {
		g_autoptr(IoBus) bus = io_bus_create();
		unsigned i = (unsigned)atoi(index);

		io_bus_add(bus, IO_SPACE_PORT, 0x100, 8, &any_width, NULL);
		io_bus_add(bus, IO_SPACE_PORT, bad[i].base, bad[i].size, &any_width, NULL);
		return;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *number = g_strdup_printf("%u", i);

		g_setenv("UMBRA_TEST_OVERLAP", number, TRUE);
		g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
		g_test_trap_assert_failed();
		g_test_trap_assert_stderr("*io_bus_add: assertion failed*");
	}
}

/* The lock: threads that add to a plain variable through the bus and beside it. */
typedef struct Counter {
	IoBus *bus;
	uint64_t value;
} Counter;

static uint64_t counter_read(void *device, uint64_t offset G_GNUC_UNUSED,
			     unsigned size G_GNUC_UNUSED)
{
	return ((Counter *)device)->value;
}

static void counter_write(void *device, uint64_t offset G_GNUC_UNUSED, unsigned size G_GNUC_UNUSED,
			  uint64_t value)
{
	((Counter *)device)->value += value;
}

#define ROUNDS 20000

static gpointer add_by_access(gpointer data)
{
	Counter *counter = data;
	uint64_t one = 1;

	for (unsigned i = 0; i < ROUNDS; i++)
		io_bus_access(counter->bus, IO_SPACE_PORT, 0x10, true, &one, 8);
	return NULL;
}

static gpointer add_under_lock(gpointer data)
{
	Counter *counter = data;

	for (unsigned i = 0; i < ROUNDS; i++) {
		io_bus_lock(counter->bus);
		counter->value++;
		io_bus_unlock(counter->bus);
	}
	return NULL;
}

static void test_threads(void)
{
	static const IoOps ops = {"counter", counter_read, counter_write, 0};
	g_autoptr(IoBus) bus = io_bus_create();
	Counter counter = {.bus = bus};
	uint64_t value;

	io_bus_add(bus, IO_SPACE_PORT, 0x10, 8, &ops, &counter);

	GThread *threads[] = {
		g_thread_new("a", add_by_access, &counter),
		g_thread_new("b", add_by_access, &counter),
		g_thread_new("c", add_under_lock, &counter),
	};

	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	io_bus_access(bus, IO_SPACE_PORT, 0x10, false, &value, 8);
	g_assert_cmpuint(value, ==, G_N_ELEMENTS(threads) * ROUNDS);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bus/pieces", test_pieces);
	g_test_add_func("/bus/top", test_top);
	g_test_add_func("/bus/nobody", test_nobody);
	g_test_add_func("/bus/many", test_many);
	g_test_add_func("/bus/overlap", test_overlap);
	g_test_add_func("/bus/threads", test_threads);
	return g_test_run();
}
