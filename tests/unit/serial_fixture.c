// SPDX-License-Identifier: MIT
#include "serial_fixture.h"

#include <string.h>

static void on_irq(void *owner, unsigned gsi, bool level)
{
	Fixture *fixture = owner;

	g_assert_cmpuint(gsi, ==, 4);
	g_assert_true(fixture->line != level); /* changes only */
	fixture->line = level;
	fixture->edges += level;
}

static size_t on_output(void *owner, const uint8_t *data, size_t length)
{
	Fixture *fixture = owner;
	size_t n = MIN(length, fixture->room);

	g_string_append_len(fixture->sent, (const char *)data, (gssize)n);
	fixture->room -= n;
	return n;
}

static void on_room(void *owner)
{
	((Fixture *)owner)->room_calls++;
}

static void set_up(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->sent = g_string_new(NULL);
	fixture->room = SIZE_MAX;
	fixture->bus = io_bus_create();
	fixture->serial =
		serial_create((IrqSink){on_irq, fixture}, 4, (SerialOutput){on_output, fixture});
	serial_attach(fixture->serial, fixture->bus, 0x3f8);
	serial_on_room(fixture->serial, on_room, fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	serial_destroy(fixture->serial);
	io_bus_destroy(fixture->bus);
	g_string_free(fixture->sent, TRUE);
}

void out(Fixture *fixture, unsigned reg, uint8_t value)
{
	io_bus_access(fixture->bus, IO_SPACE_PORT, 0x3f8 + reg, true, &value, 1);
}

uint8_t in(Fixture *fixture, unsigned reg)
{
	uint8_t value = 0xa5;

	io_bus_access(fixture->bus, IO_SPACE_PORT, 0x3f8 + reg, false, &value, 1);
	return value;
}

void open_port(Fixture *fixture, uint8_t trigger, uint8_t ier)
{
	out(fixture, LCR, 0x03);
	out(fixture, FCR, trigger | 0x01);
	out(fixture, MCR, 0x0b);
	out(fixture, IER, ier);
}

void assert_sent(Fixture *fixture, const char *expected)
{
	g_assert_cmpstr(fixture->sent->str, ==, expected);
	g_string_truncate(fixture->sent, 0);
}

int serial_tests_run(int argc, char **argv, const SerialTest *tests, size_t n)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < n; i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
	return g_test_run();
}
