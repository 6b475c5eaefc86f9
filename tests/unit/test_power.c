// SPDX-License-Identifier: MIT
#include "base/layout.h"
#include "dev/power.h"

/* Everything that the device does to the outside, in order. */
static void on_irq(void *owner, unsigned gsi, bool level)
{
	g_string_append_printf(owner, "gsi%u=%d ", gsi, level);
}

static void on_request(void *owner, PowerRequest request)
{
	g_string_append(owner, request == POWER_REQUEST_OFF	? "off "
			       : request == POWER_REQUEST_RESET ? "reset "
								: "? ");
}

typedef struct Fixture {
	GString *seen;
	IoBus *bus;
	Power *power;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	fixture->seen = g_string_new(NULL);
	fixture->bus = io_bus_create();
	fixture->power = power_create((IrqSink){on_irq, fixture->seen}, 9,
				      (PowerSink){on_request, fixture->seen});
	power_attach(fixture->power, fixture->bus);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	power_destroy(fixture->power);
	io_bus_destroy(fixture->bus);
	g_string_free(fixture->seen, TRUE);
}

static void out(Fixture *fixture, uint64_t port, unsigned size, uint32_t value)
{
	io_bus_access(fixture->bus, IO_SPACE_PORT, port, true, &value, size);
}

static uint8_t in(Fixture *fixture, uint64_t port)
{
	uint8_t value = 0xa5;

	io_bus_access(fixture->bus, IO_SPACE_PORT, port, false, &value, 1);
	return value;
}

/* ACPI 6.4 table 4.18: SLP_TYP in bits 4:2, SLP_EN is bit 5. S5 is type 5 here. */
static void test_sleep(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (unsigned value = 0; value < 256; value++) {
		bool enable = value & 0x20;
		unsigned type = value >> 2 & 7;

		g_string_truncate(fixture->seen, 0);
		out(fixture, 0x600, 1, value);
		g_assert_cmpstr(fixture->seen->str, ==, enable && type == 5 ? "off " : "");
	}
}

/* As Linux does it: clear WAK_STS, sleep, poll for WAK_STS. A state that is none is left at once.
 */
static void test_wake_status(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_assert_cmphex(in(fixture, 0x600), ==, 0);
	out(fixture, 0x600, 1, 0x80);
	g_assert_cmphex(in(fixture, 0x600), ==, 0);
	out(fixture, 0x600, 1, 3 << 2 | 0x20);
	g_assert_cmphex(in(fixture, 0x600), ==, 0x80);
	out(fixture, 0x600, 1, 0x5f);
	g_assert_cmphex(in(fixture, 0x600), ==, 0x80);
	out(fixture, 0x600, 1, 0x80);
	g_assert_cmphex(in(fixture, 0x600), ==, 0);
	g_assert_cmpstr(fixture->seen->str, ==, "");
}

static void test_reset(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (unsigned value = 0; value < 256; value++) {
		g_string_truncate(fixture->seen, 0);
		out(fixture, 0x604, 1, value);
		g_assert_cmpstr(fixture->seen->str, ==, value == 1 ? "reset " : "");
	}
	g_assert_cmphex(in(fixture, 0x604), ==, 0);
	/* Wider writes reach the register with their own byte only. */
	g_string_truncate(fixture->seen, 0);
	out(fixture, 0x604, 4, 0x00000102);
	g_assert_cmpstr(fixture->seen->str, ==, "");
	out(fixture, 0x604, 4, 0xffffff01);
	g_assert_cmpstr(fixture->seen->str, ==, "reset ");
}

static void test_button(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_assert_cmphex(in(fixture, 0x608), ==, 0);
	power_press_button(fixture->power);
	g_assert_cmpstr(fixture->seen->str, ==, "gsi9=1 gsi9=0 ");
	out(fixture, 0x608, 1, 0);
	g_assert_cmphex(in(fixture, 0x608), ==, 1);
	g_assert_cmphex(in(fixture, 0x608), ==, 0);

	/* Nobody read the first press (the pin was masked): the second is an edge all the same. */
	power_press_button(fixture->power);
	g_string_truncate(fixture->seen, 0);
	power_press_button(fixture->power);
	g_assert_cmpstr(fixture->seen->str, ==, "gsi9=1 gsi9=0 ");
	g_assert_cmphex(in(fixture, 0x608), ==, 1);
	g_assert_cmphex(in(fixture, 0x608), ==, 0);
}

/* No sequence of accesses ends the guest but the two that are meant to; nobody answers elsewhere.
 */
static void test_random(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_test_message("seed 20261122");
	g_autoptr(GRand) rand = g_rand_new_with_seed(20261122);

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t port = (uint64_t)g_rand_int_range(rand, 0x5fc, 0x610);
		unsigned size = 1u << g_rand_int_range(rand, 0, 3);
		uint32_t value = g_rand_int(rand);
		uint8_t at_sleep = 0, at_reset = 0;

		if (g_rand_boolean(rand)) {
			uint8_t events = in(fixture, 0x608);

			g_assert_cmphex(events, <=, 1);
			g_assert_cmphex(in(fixture, 0x600) & ~0x80, ==, 0);
			g_assert_cmphex(in(fixture, 0x601), ==, 0xff);
			continue;
		}
		if (port <= 0x600 && 0x600 < port + size)
			at_sleep = (uint8_t)(value >> 8 * (0x600 - port));
		if (port <= 0x604 && 0x604 < port + size)
			at_reset = (uint8_t)(value >> 8 * (0x604 - port));
		g_string_truncate(fixture->seen, 0);
		out(fixture, port, size, value);

		g_autofree char *expected =
			g_strdup_printf("%s%s", (at_sleep & 0x3c) == 0x34 ? "off " : "",
					at_reset == 1 ? "reset " : "");

		g_assert_cmpstr(fixture->seen->str, ==, expected);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/power/sleep", Fixture, NULL, set_up, test_sleep, tear_down);
	g_test_add("/power/wake-status", Fixture, NULL, set_up, test_wake_status, tear_down);
	g_test_add("/power/reset", Fixture, NULL, set_up, test_reset, tear_down);
	g_test_add("/power/button", Fixture, NULL, set_up, test_button, tear_down);
	g_test_add("/power/random", Fixture, NULL, set_up, test_random, tear_down);
	return g_test_run();
}
