// SPDX-License-Identifier: MIT
/* Expectations by hand from the 82093AA data sheet and the message format of SDM 3A 11.11. */
#include "base/layout.h"
#include "dev/ioapic.h"

#define MASKED	   0x10000u
#define LEVEL	   0x8000u
#define REMOTE_IRR 0x4000u
#define LOGICAL	   0x0800u

typedef struct Fixture {
	GString *seen; /* messages "address:data " and routes "pin:… " */
	GString *routes;
	IoBus *bus;
	Ioapic *ioapic;
	IrqSink irq;
} Fixture;

static void on_message(void *owner, uint64_t address, uint32_t data)
{
	Fixture *fixture = owner;

	g_string_append_printf(fixture->seen, "%lx:%x ", address, data);
}

static void on_route(void *owner, unsigned pin, bool masked, bool level, uint64_t address,
		     uint32_t data)
{
	Fixture *fixture = owner;

	g_string_append_printf(fixture->routes, "%u%s%s:%lx:%x ", pin, masked ? " masked" : "",
			       level ? " level" : "", address, data);
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	fixture->seen = g_string_new(NULL);
	fixture->routes = g_string_new(NULL);
	fixture->bus = io_bus_create();
	fixture->ioapic =
		ioapic_create((MsiSink){on_message, fixture}, (IoapicRoutes){on_route, fixture});
	ioapic_attach(fixture->ioapic, fixture->bus);
	fixture->irq = ioapic_irq_sink(fixture->ioapic);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	ioapic_destroy(fixture->ioapic);
	io_bus_destroy(fixture->bus);
	g_string_free(fixture->seen, TRUE);
	g_string_free(fixture->routes, TRUE);
}

static void mmio_write(Fixture *fixture, uint64_t offset, uint32_t value)
{
	io_bus_access(fixture->bus, IO_SPACE_MMIO, 0xfec00000 + offset, true, &value, 4);
}

static uint32_t mmio_read(Fixture *fixture, uint64_t offset)
{
	uint32_t value = 0xa5a5a5a5;

	io_bus_access(fixture->bus, IO_SPACE_MMIO, 0xfec00000 + offset, false, &value, 4);
	return value;
}

static uint32_t reg_read(Fixture *fixture, unsigned index)
{
	mmio_write(fixture, 0x00, index);
	return mmio_read(fixture, 0x10);
}

static void reg_write(Fixture *fixture, unsigned index, uint32_t value)
{
	mmio_write(fixture, 0x00, index);
	mmio_write(fixture, 0x10, value);
}

static void pin_program(Fixture *fixture, unsigned pin, uint32_t high, uint32_t low)
{
	reg_write(fixture, 0x11 + 2 * pin, high);
	reg_write(fixture, 0x10 + 2 * pin, low);
}

static void set(Fixture *fixture, unsigned pin, bool level)
{
	fixture->irq.set(fixture->irq.owner, pin, level);
}

static void assert_seen(GString *log, const char *expected)
{
	g_assert_cmpstr(log->str, ==, expected);
	g_string_truncate(log, 0);
}

static void test_registers(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_assert_cmphex(reg_read(fixture, 1), ==, 0x00170020);
	g_assert_cmphex(mmio_read(fixture, 0x00), ==, 1);
	g_assert_cmphex(reg_read(fixture, 0), ==, 0);
	reg_write(fixture, 0, 0xffffffff);
	g_assert_cmphex(reg_read(fixture, 0), ==, 0x0f000000);
	g_assert_cmphex(reg_read(fixture, 2), ==, 0x0f000000);
	reg_write(fixture, 1, 0);
	g_assert_cmphex(reg_read(fixture, 1), ==, 0x00170020);

	for (unsigned pin = 0; pin < 24; pin++) {
		g_assert_cmphex(reg_read(fixture, 0x10 + 2 * pin), ==, MASKED);
		g_assert_cmphex(reg_read(fixture, 0x11 + 2 * pin), ==, 0);
		/* Delivery status (12), remote IRR (14) and 55:17 are not the guest's to write. */
		pin_program(fixture, pin, 0xffffffff, 0xffffffff);
		g_assert_cmphex(reg_read(fixture, 0x10 + 2 * pin), ==, 0x0001afff);
		g_assert_cmphex(reg_read(fixture, 0x11 + 2 * pin), ==, 0xff000000);
	}
	/* Behind the last pin there is nothing, and the rest of the page is empty. */
	reg_write(fixture, 0x40, 0xffffffff);
	reg_write(fixture, 0xff, 0xffffffff);
	g_assert_cmphex(reg_read(fixture, 0x40), ==, 0);
	g_assert_cmphex(reg_read(fixture, 0xff), ==, 0);
	g_assert_cmphex(mmio_read(fixture, 0x14), ==, 0);
	g_assert_cmphex(mmio_read(fixture, 0xffc), ==, 0);
	g_assert_cmpstr(fixture->seen->str, ==, "");
}

/* Address 0xfee, destination in 19:12, mode in 2; data vector, delivery 10:8, assert 14, level 15.
 */
static void test_messages(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const struct {
		uint32_t high, low;
		const char *message;
	} rows[] = {
		{0x00000000, 0x31, "fee00000:4031 "},
		{0x05000000, 0x31, "fee05000:4031 "},
		{0xff000000, LOGICAL | 0xfe, "feeff004:40fe "},
		{0x01000000, LOGICAL | 0x100 | 0x55, "fee01004:4155 "},
		{0x02000000, LEVEL | 0x22, "fee02000:c022 "},
		{0x02000000, LEVEL | 0x2000 | 0x100 | 0x22, "fee02000:c122 "},
		/* SMI, NMI, INIT, ExtINT: edges, whatever the trigger bit says */
		{0x03000000, 0x200, "fee03000:4200 "},
		{0x03000000, LEVEL | 0x400, "fee03000:4400 "},
		{0x03000000, LEVEL | 0x500, "fee03000:4500 "},
		{0x03000000, 0x700, "fee03000:4700 "},
		/* reserved delivery modes */
		{0x03000000, 0x300 | 0x40, ""},
		{0x03000000, 0x600 | 0x40, ""},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		unsigned pin = (unsigned)i;

		pin_program(fixture, pin, rows[i].high, rows[i].low);
		assert_seen(fixture->seen, "");
		set(fixture, pin, true);
		assert_seen(fixture->seen, rows[i].message);
	}
}

static void test_edge(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	pin_program(fixture, 4, 0, 0x34);
	set(fixture, 4, true);
	assert_seen(fixture->seen, "fee00000:4034 ");
	g_assert_cmphex(reg_read(fixture, 0x18) & REMOTE_IRR, ==, 0);
	set(fixture, 4, true);
	assert_seen(fixture->seen, "");
	set(fixture, 4, false);
	assert_seen(fixture->seen, "");
	set(fixture, 4, true);
	assert_seen(fixture->seen, "fee00000:4034 ");
	/* Neither an EOI nor a write to the entry makes an edge. */
	ioapic_end_of_interrupt(fixture->ioapic, 0x34);
	pin_program(fixture, 4, 0, 0x34);
	assert_seen(fixture->seen, "");

	/* "Edge-sensitive interrupts signaled on a masked interrupt pin are ignored" */
	set(fixture, 4, false);
	pin_program(fixture, 4, 0, MASKED | 0x34);
	set(fixture, 4, true);
	pin_program(fixture, 4, 0, 0x34);
	assert_seen(fixture->seen, "");
	set(fixture, 4, false);
	set(fixture, 4, true);
	assert_seen(fixture->seen, "fee00000:4034 ");
}

static void test_level(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	const unsigned low = 0x10 + 2 * 10;

	pin_program(fixture, 10, 0x01000000, LEVEL | 0x41);
	set(fixture, 10, true);
	assert_seen(fixture->seen, "fee01000:c041 ");
	g_assert_cmphex(reg_read(fixture, low), ==, LEVEL | REMOTE_IRR | 0x41);
	/* Until the EOI nothing more is sent, not even for a new assertion. */
	set(fixture, 10, false);
	set(fixture, 10, true);
	assert_seen(fixture->seen, "");
	/* Others' EOIs do not count. */
	ioapic_end_of_interrupt(fixture->ioapic, 0x42);
	g_assert_cmphex(reg_read(fixture, low), ==, LEVEL | REMOTE_IRR | 0x41);
	/* Still asserted: again. */
	ioapic_end_of_interrupt(fixture->ioapic, 0x41);
	assert_seen(fixture->seen, "fee01000:c041 ");
	g_assert_cmphex(reg_read(fixture, low), ==, LEVEL | REMOTE_IRR | 0x41);
	/* Served: quiet. The register does what the message from the LAPIC does. */
	set(fixture, 10, false);
	mmio_write(fixture, 0x40, 0x41);
	assert_seen(fixture->seen, "");
	g_assert_cmphex(reg_read(fixture, low), ==, LEVEL | 0x41);
	ioapic_end_of_interrupt(fixture->ioapic, 0x41);
	assert_seen(fixture->seen, "");
}

static void test_level_masked(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	const unsigned low = 0x10 + 2 * 10;

	/* A level that is still there when the mask goes is seen; one that went is not. */
	pin_program(fixture, 10, 0, MASKED | LEVEL | 0x41);
	set(fixture, 10, true);
	set(fixture, 10, false);
	pin_program(fixture, 10, 0, LEVEL | 0x41);
	assert_seen(fixture->seen, "");
	pin_program(fixture, 10, 0, MASKED | LEVEL | 0x41);
	set(fixture, 10, true);
	assert_seen(fixture->seen, "");
	pin_program(fixture, 10, 0, LEVEL | 0x41);
	assert_seen(fixture->seen, "fee00000:c041 ");

	/* Masking does not forget that an EOI is due, and the EOI does not fire a masked pin. */
	reg_write(fixture, low, MASKED | LEVEL | 0x41);
	g_assert_cmphex(reg_read(fixture, low), ==, MASKED | LEVEL | REMOTE_IRR | 0x41);
	reg_write(fixture, low, LEVEL | 0x41);
	assert_seen(fixture->seen, "");
	reg_write(fixture, low, MASKED | LEVEL | 0x41);
	ioapic_end_of_interrupt(fixture->ioapic, 0x41);
	assert_seen(fixture->seen, "");
	g_assert_cmphex(reg_read(fixture, low), ==, MASKED | LEVEL | 0x41);
	reg_write(fixture, low, LEVEL | 0x41);
	assert_seen(fixture->seen, "fee00000:c041 ");

	/* How Linux ends an interrupt without an EOI register: to edge and back. */
	reg_write(fixture, low, MASKED | 0x41);
	g_assert_cmphex(reg_read(fixture, low), ==, MASKED | 0x41);
	reg_write(fixture, low, LEVEL | 0x41);
	assert_seen(fixture->seen, "fee00000:c041 ");
}

/* Two level pins on one vector: each fires again for itself. */
static void test_shared_vector(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	pin_program(fixture, 20, 0x01000000, LEVEL | 0x60);
	pin_program(fixture, 21, 0x02000000, LEVEL | 0x60);
	set(fixture, 20, true);
	set(fixture, 21, true);
	assert_seen(fixture->seen, "fee01000:c060 fee02000:c060 ");
	set(fixture, 20, false);
	ioapic_end_of_interrupt(fixture->ioapic, 0x60);
	assert_seen(fixture->seen, "fee02000:c060 ");
}

/* Told of each change, before a pin may fire by it, and of nothing else. */
static void test_routes(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	reg_write(fixture, 0x10, MASKED);
	reg_write(fixture, 0x11, 0);
	assert_seen(fixture->routes, "");
	reg_write(fixture, 0x11 + 2 * 5, 0x07000000);
	assert_seen(fixture->routes, "5 masked:fee07000:4000 ");
	reg_write(fixture, 0x10 + 2 * 5, LEVEL | 0x100 | 0x70);
	assert_seen(fixture->routes, "5 level:fee07000:c170 ");
	reg_write(fixture, 0x10 + 2 * 5, LEVEL | 0x100 | 0x70);
	assert_seen(fixture->routes, "");
	set(fixture, 5, true);
	ioapic_end_of_interrupt(fixture->ioapic, 0x70);
	set(fixture, 5, false);
	assert_seen(fixture->routes, "");
	reg_write(fixture, 0x10 + 2 * 5, MASKED | 0x70);
	assert_seen(fixture->routes, "5 masked:fee07000:4070 ");
}

/* Narrow and wide accesses: bytes reach the low byte, upper halves go nowhere. */
static void test_widths(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	uint8_t byte = 0x11;
	uint64_t wide = 0xffffffff03000000;

	io_bus_access(fixture->bus, IO_SPACE_MMIO, 0xfec00000, true, &byte, 1);
	g_assert_cmphex(mmio_read(fixture, 0), ==, 0x11);
	io_bus_access(fixture->bus, IO_SPACE_MMIO, 0xfec00010, true, &wide, 8);
	g_assert_cmphex(mmio_read(fixture, 0x10), ==, 0x03000000);
	io_bus_access(fixture->bus, IO_SPACE_MMIO, 0xfec00003, true, &byte, 1);
	g_assert_cmphex(mmio_read(fixture, 0), ==, 0x11);
}

/*
 * Anything in any order. A model beside it knows only this much: a level pin
 * that is asserted, open and without remote IRR does not exist between calls.
 */
static void test_random(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_test_message("seed 82093");
	g_autoptr(GRand) rand = g_rand_new_with_seed(82093);
	bool lines[24] = {false};

	for (unsigned i = 0; i < 200000; i++) {
		unsigned pin = (unsigned)g_rand_int_range(rand, 0, 24);
		uint32_t value = g_rand_int(rand);
		uint64_t garbage = value;

		switch (g_rand_int_range(rand, 0, 6)) {
		case 0:
			lines[pin] = value & 1;
			set(fixture, pin, lines[pin]);
			break;
		case 1:
			ioapic_end_of_interrupt(fixture->ioapic, value & 0xff);
			break;
		case 2:
			/* few vectors, mostly open, mostly fixed: so that much happens */
			pin_program(fixture, pin, value, value & (LEVEL | LOGICAL | 0x17));
			break;
		case 3:
			reg_write(fixture, 0x10 + 2 * pin, value);
			break;
		case 4:
			io_bus_access(fixture->bus, IO_SPACE_MMIO, 0xfec00000 + value % 0x1010,
				      value >> 31, &garbage, 1 + (value >> 16) % 8);
			break;
		case 5:
			mmio_write(fixture, 0x40, value & 0x17);
			break;
		}
		uint32_t low = reg_read(fixture, 0x10 + 2 * pin);

		if ((low & LEVEL) && (low & 0x700) <= 0x100 && !(low & MASKED) && lines[pin])
			g_assert_true(low & REMOTE_IRR);
		if (!(low & LEVEL))
			g_assert_false(low & REMOTE_IRR);
		g_string_truncate(fixture->seen, 0);
		g_string_truncate(fixture->routes, 0);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *fixture, gconstpointer data);
	} tests[] = {
		{"/ioapic/registers", test_registers},
		{"/ioapic/messages", test_messages},
		{"/ioapic/edge", test_edge},
		{"/ioapic/level", test_level},
		{"/ioapic/level-masked", test_level_masked},
		{"/ioapic/shared-vector", test_shared_vector},
		{"/ioapic/routes", test_routes},
		{"/ioapic/widths", test_widths},
		{"/ioapic/random", test_random},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
	return g_test_run();
}
