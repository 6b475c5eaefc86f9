// SPDX-License-Identifier: MIT
/*
 * Bytes that come and go, and interrupts for them, with a reader and a guest that may
 * be slow. Expectations by hand from the PC16550D data sheet.
 */
#include "serial_fixture.h"

#include <string.h>

#define RTS 0x02

static size_t type(Fixture *fixture, const char *text)
{
	return serial_receive(fixture->serial, (const uint8_t *)text, strlen(text));
}

/* Reading IIR as the source clears THRE's interrupt; writing THR does, and the next one is there.
 */
static void test_transmit_interrupt(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	open_port(fixture, 0x80, 0x02);
	g_assert_true(fixture->line);
	g_assert_cmphex(in(fixture, IIR), ==, 0xc2);
	g_assert_false(fixture->line);
	g_assert_cmphex(in(fixture, IIR), ==, 0xc1);
	/* Enabled as it was: no transition, no interrupt. */
	out(fixture, IER, 0x02);
	g_assert_false(fixture->line);

	/* Sixteen bytes to each interrupt, and one edge for them. */
	for (unsigned burst = 1; burst <= 3; burst++) {
		for (unsigned i = 0; i < 16; i++) {
			g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
			out(fixture, DATA, (uint8_t)('a' + i));
		}
		assert_sent(fixture, "abcdefghijklmnop");
		g_assert_cmpuint(fixture->edges, ==, 1 + burst);
		g_assert_cmphex(in(fixture, IIR), ==, 0xc2);
		g_assert_false(fixture->line);
	}
	/* Not enabled: latched, and no line. */
	out(fixture, IER, 0x00);
	out(fixture, DATA, 'x');
	g_assert_false(fixture->line);
	g_assert_cmphex(in(fixture, IIR), ==, 0xc1);
}

static void test_blocked_output(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	open_port(fixture, 0x80, 0x02);
	in(fixture, IIR);
	fixture->room = 3;
	for (const char *at = "0123456789abcdefghi"; *at; at++)
		out(fixture, DATA, (uint8_t)*at);
	assert_sent(fixture, "012");
	g_assert_cmphex(in(fixture, LSR), ==, 0x00);
	/* Three bytes emptied the transmitter in time, so an edge was due then; now none is. */
	g_assert_false(fixture->line);
	g_assert_cmphex(in(fixture, IIR), ==, 0xc1);
	/* The FIFO is full: the next byte is lost, the sixteen are not. */
	out(fixture, DATA, '!');

	unsigned edges = fixture->edges;

	fixture->room = 10;
	serial_output_ready(fixture->serial);
	assert_sent(fixture, "3456789abc");
	g_assert_cmphex(in(fixture, LSR), ==, 0x00);
	g_assert_cmpuint(fixture->edges, ==, edges);
	/* There is room in the FIFO although THRE is clear. */
	out(fixture, DATA, 'X');
	fixture->room = SIZE_MAX;
	serial_output_ready(fixture->serial);
	assert_sent(fixture, "defghiX");
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	g_assert_cmpuint(fixture->edges, ==, edges + 1);
	g_assert_cmphex(in(fixture, IIR), ==, 0xc2);
	serial_output_ready(fixture->serial);
	g_assert_false(fixture->line);
	assert_sent(fixture, "");

	/* Enabling does not raise what is not so: the transmitter is busy. */
	fixture->room = 0;
	out(fixture, DATA, 'y');
	out(fixture, IER, 0x00);
	out(fixture, IER, 0x02);
	g_assert_cmphex(in(fixture, IIR), ==, 0xc1);
}

/* Without FIFOs the holding register is all there is. */
static void test_blocked_16450(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	fixture->room = 0;
	out(fixture, DATA, 'a');
	g_assert_cmphex(in(fixture, LSR), ==, 0x00);
	out(fixture, DATA, 'b');
	fixture->room = SIZE_MAX;
	serial_output_ready(fixture->serial);
	assert_sent(fixture, "a");
	/* FCR bit 2 empties it as well: the transmitter is free again. */
	out(fixture, FCR, 0x01);
	fixture->room = 0;
	out(fixture, DATA, 'c');
	g_assert_cmphex(in(fixture, LSR), ==, 0x00);
	out(fixture, FCR, 0x05);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	fixture->room = SIZE_MAX;
	serial_output_ready(fixture->serial);
	assert_sent(fixture, "");
}

static void test_receive(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const struct {
		uint8_t fcr;
		unsigned trigger;
	} levels[] = {{0x00, 1}, {0x40, 4}, {0x80, 8}, {0xc0, 14}};

	for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
		open_port(fixture, levels[i].fcr | 0x02, 0x01);
		g_assert_false(fixture->line);
		for (unsigned n = 1; n <= 16; n++) {
			g_assert_cmpuint(type(fixture, "k"), ==, 1);
			g_assert_true(fixture->line);
			g_assert_cmphex(in(fixture, IIR), ==, n >= levels[i].trigger ? 0xc4 : 0xcc);
		}
		g_assert_cmpuint(type(fixture, "k"), ==, 0);
		for (unsigned n = 16; n > 0; n--) {
			g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT | 0x01);
			g_assert_true(fixture->line);
			g_assert_cmphex(in(fixture, DATA), ==, 'k');
		}
		g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
		g_assert_false(fixture->line);
		g_assert_cmphex(in(fixture, IIR), ==, 0xc1);
		g_assert_cmphex(in(fixture, DATA), ==, 0);
	}
	/* Not enabled: data, but no interrupt. Enabling tells of what is there. */
	out(fixture, IER, 0x00);
	type(fixture, "ab");
	g_assert_false(fixture->line);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT | 0x01);
	out(fixture, IER, 0x01);
	g_assert_true(fixture->line);
	out(fixture, FCR, 0x03); /* cleared away */
	g_assert_false(fixture->line);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
}

static void test_receive_16450(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	out(fixture, MCR, RTS);
	out(fixture, IER, 0x01);
	g_assert_cmpuint(type(fixture, "ab"), ==, 1);
	g_assert_cmphex(in(fixture, IIR), ==, 0x04);
	g_assert_cmphex(in(fixture, DATA), ==, 'a');
	g_assert_cmphex(in(fixture, IIR), ==, 0x01);
	/* Turning the FIFOs on or off empties them. */
	type(fixture, "c");
	out(fixture, FCR, 0x01);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	type(fixture, "de");
	out(fixture, FCR, 0x00);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	/* Without bit 0 the other bits of FCR are not programmed. */
	type(fixture, "f");
	out(fixture, FCR, 0xc6);
	g_assert_cmphex(in(fixture, DATA), ==, 'f');
}

/* Nothing is taken before the port is open, and the sender is told once there is room. */
static void test_room(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_assert_cmpuint(type(fixture, "early"), ==, 0);
	out(fixture, FCR, 0x07);
	out(fixture, IER, 0x0f);
	out(fixture, MCR, 0x09); /* DTR and OUT2: a console, not opened yet */
	out(fixture, MCR, 0x1a); /* RTS in loopback is not on the line */
	g_assert_cmpuint(type(fixture, "early"), ==, 0);
	g_assert_cmpuint(fixture->room_calls, ==, 0);
	out(fixture, MCR, 0x0b);
	g_assert_cmpuint(fixture->room_calls, ==, 1);
	g_assert_cmpuint(type(fixture, "early"), ==, 5);
	g_assert_cmpuint(type(fixture, "0123456789ab"), ==, 11);
	for (const char *at = "early0123456789"; *at; at++)
		g_assert_cmphex(in(fixture, DATA), ==, *at);
	g_assert_cmpuint(fixture->room_calls, ==, 1);
	g_assert_cmphex(in(fixture, DATA), ==, 'a');
	g_assert_cmpuint(fixture->room_calls, ==, 2);
	/* Nothing was refused since: nothing to tell. */
	type(fixture, "x");
	in(fixture, DATA);
	g_assert_cmpuint(fixture->room_calls, ==, 2);
	/* Clearing the FIFO makes room as well. */
	type(fixture, "0123456789abcdefg");
	out(fixture, FCR, 0x03);
	g_assert_cmpuint(fixture->room_calls, ==, 3);
}

int main(int argc, char **argv)
{
	static const SerialTest tests[] = {
		{"/serial/transmit-interrupt", test_transmit_interrupt},
		{"/serial/blocked-output", test_blocked_output},
		{"/serial/blocked-16450", test_blocked_16450},
		{"/serial/receive", test_receive},
		{"/serial/receive-16450", test_receive_16450},
		{"/serial/room", test_room},
	};

	return serial_tests_run(argc, argv, tests, G_N_ELEMENTS(tests));
}
