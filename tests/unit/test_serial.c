// SPDX-License-Identifier: MIT
/*
 * Expectations by hand from the PC16550D data sheet, and the sequences with
 * which Linux finds out what it has (drivers/tty/serial/8250/8250_port.c:
 * autoconfig, serial8250_do_startup).
 */
#include "base/layout.h"
#include "dev/serial.h"

#include <string.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

#define THRE_TEMT 0x60
#define RTS	  0x02
#define LOOP	  0x10

typedef struct Fixture {
	IoBus *bus;
	Serial *serial;
	bool line;
	unsigned edges; /* of the line, upwards */
	GString *sent;
	size_t room; /* what the output still takes */
	unsigned room_calls;
} Fixture;

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

static void out(Fixture *fixture, unsigned reg, uint8_t value)
{
	io_bus_access(fixture->bus, IO_SPACE_PORT, 0x3f8 + reg, true, &value, 1);
}

static uint8_t in(Fixture *fixture, unsigned reg)
{
	uint8_t value = 0xa5;

	io_bus_access(fixture->bus, IO_SPACE_PORT, 0x3f8 + reg, false, &value, 1);
	return value;
}

static size_t type(Fixture *fixture, const char *text)
{
	return serial_receive(fixture->serial, (const uint8_t *)text, strlen(text));
}

/* As a driver that has opened the port: FIFOs on at `trigger` (FCR bits 7:6), RTS and OUT2 up. */
static void open_port(Fixture *fixture, uint8_t trigger, uint8_t ier)
{
	out(fixture, LCR, 0x03);
	out(fixture, FCR, trigger | 0x01);
	out(fixture, MCR, 0x0b);
	out(fixture, IER, ier);
}

static void assert_sent(Fixture *fixture, const char *expected)
{
	g_assert_cmpstr(fixture->sent->str, ==, expected);
	g_string_truncate(fixture->sent, 0);
}

/* PC16550D table III, master reset; the line's other end is there (CTS, DSR, DCD). */
static void test_reset(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const uint8_t values[] = {[DATA] = 0, [IER] = 0,		[IIR] = 0x01, [LCR] = 0,
					 [MCR] = 0,  [LSR] = THRE_TEMT, [MSR] = 0xb0, [SCR] = 0};

	for (unsigned reg = 0; reg < G_N_ELEMENTS(values); reg++)
		g_assert_cmphex(in(fixture, reg), ==, values[reg]);
	g_assert_cmpuint(fixture->edges, ==, 0);
}

static void test_registers(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (unsigned value = 0; value < 256; value++) {
		out(fixture, SCR, (uint8_t)value);
		g_assert_cmphex(in(fixture, SCR), ==, value);
		out(fixture, IER, (uint8_t)value);
		g_assert_cmphex(in(fixture, IER), ==, value & 0x0f);
		out(fixture, MCR, (uint8_t)value);
		g_assert_cmphex(in(fixture, MCR), ==, value & 0x1f);
		out(fixture, LCR, (uint8_t)value);
		g_assert_cmphex(in(fixture, LCR), ==, value);
		out(fixture, LCR, 0);
	}
	out(fixture, IER, 0x05);
	out(fixture, LCR, 0x83);
	out(fixture, 0, 0x01);
	out(fixture, 1, 0xc2);
	g_assert_cmphex(in(fixture, 0), ==, 0x01);
	g_assert_cmphex(in(fixture, 1), ==, 0xc2);
	g_assert_cmpstr(fixture->sent->str, ==, "");
	out(fixture, LCR, 0x03);
	g_assert_cmphex(in(fixture, IER), ==, 0x05);
	/* LSR and MSR are not to be written. */
	out(fixture, MCR, 0);
	in(fixture, MSR);
	out(fixture, LSR, 0xff);
	out(fixture, MSR, 0xff);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	g_assert_cmphex(in(fixture, MSR), ==, 0xb0);
}

/* Linux, autoconfig: is anybody there, does loopback work, which chip is it? */
static void test_linux_autoconfig(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	out(fixture, IER, 0x00);
	g_assert_cmphex(in(fixture, IER) & 0x0f, ==, 0x00);
	out(fixture, IER, 0x0f);
	g_assert_cmphex(in(fixture, IER) & 0x0f, ==, 0x0f);
	out(fixture, IER, 0x00);

	out(fixture, MCR, 0x1a); /* LOOP, OUT2, RTS */
	g_assert_cmphex(in(fixture, MSR) & 0xf0, ==, 0x90);
	out(fixture, MCR, 0x00);

	out(fixture, LCR, 0xbf);
	out(fixture, 2, 0);
	out(fixture, LCR, 0x00);
	out(fixture, FCR, 0x01);
	g_assert_cmphex(in(fixture, IIR) >> 6, ==, 3); /* 16550A or better */

	/* autoconfig_16550a: no EFR behind LCR = 0x80 or 0xbf … */
	out(fixture, LCR, 0x80);
	g_assert_cmphex(in(fixture, 2), !=, 0);
	out(fixture, LCR, 0xbf);
	g_assert_cmphex(in(fixture, 2), !=, 0);
	/* … no EXCR1 that mirrors MCR.LOOP (NS16550A's super I/O) … */
	out(fixture, LCR, 0);
	out(fixture, MCR, LOOP);
	out(fixture, LCR, 0xe0);
	g_assert_cmphex(in(fixture, 2) & LOOP, ==, 0);
	out(fixture, LCR, 0);
	out(fixture, MCR, 0);
	/* … no 64-byte FIFO (16750), with or without DLAB … */
	out(fixture, FCR, 0x21);
	g_assert_cmphex(in(fixture, IIR) >> 5, ==, 6);
	out(fixture, FCR, 0x01);
	out(fixture, LCR, 0x80);
	out(fixture, FCR, 0x21);
	g_assert_cmphex(in(fixture, IIR) >> 5, ==, 6);
	out(fixture, FCR, 0x01);
	out(fixture, LCR, 0);
	/* … no UUE bit (XScale). */
	out(fixture, IER, 0x40);
	g_assert_cmphex(in(fixture, IER), ==, 0);
	g_assert_cmpstr(fixture->sent->str, ==, "");
	g_assert_false(fixture->line);
}

/* Linux, size_fifo: 256 bytes looped back leave as many as the FIFO holds. */
static void test_linux_size_fifo(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	unsigned count;

	out(fixture, LCR, 0);
	out(fixture, FCR, 0x07);
	out(fixture, MCR, LOOP);
	for (unsigned i = 0; i < 256; i++)
		out(fixture, DATA, (uint8_t)i);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT | 0x03); /* overrun, told once */
	for (count = 0; in(fixture, LSR) == (THRE_TEMT | 0x01); count++)
		g_assert_cmphex(in(fixture, DATA), ==, count); /* the oldest stay */
	g_assert_cmpuint(count, ==, 16);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	g_assert_cmpstr(fixture->sent->str, ==, "");
}

/* Linux, serial8250_do_startup: THRE is raised anew by each enabling (else UART_BUG_THRE). */
static void test_linux_startup(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	out(fixture, FCR, 0x01);
	out(fixture, FCR, 0x07);
	out(fixture, FCR, 0x00);
	g_assert_cmphex(in(fixture, LSR), !=, 0xff);
	in(fixture, DATA);
	in(fixture, IIR);
	in(fixture, MSR);
	out(fixture, LCR, 0x03);
	for (unsigned i = 0; i < 3; i++) {
		out(fixture, IER, 0x02);
		g_assert_true(fixture->line);
		g_assert_cmphex(in(fixture, IIR), ==, 0x02);
		out(fixture, IER, 0x00);
		g_assert_false(fixture->line);
	}
	/* UART_BUG_TXEN: empty, enabled, and yet no interrupt. */
	out(fixture, IER, 0x02);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT);
	g_assert_cmphex(in(fixture, IIR), ==, 0x02);
	g_assert_cmpuint(fixture->edges, ==, 4);
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

static void test_modem(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const struct {
		uint8_t mcr, msr;
	} levels[] = {{0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10}, {0x14, 0x40},
		      {0x18, 0x80}, {0x1f, 0xf0}, {0x0f, 0xb0}, {0x00, 0xb0}};

	for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
		out(fixture, MCR, levels[i].mcr);
		g_assert_cmphex(in(fixture, MSR) & 0xf0, ==, levels[i].msr);
	}
	out(fixture, IER, 0x08);
	g_assert_false(fixture->line);
	out(fixture, MCR, 0x10); /* DCD, DSR and CTS go: three deltas */
	g_assert_true(fixture->line);
	g_assert_cmphex(in(fixture, IIR), ==, 0x00);
	g_assert_cmphex(in(fixture, MSR), ==, 0x0b);
	g_assert_false(fixture->line);
	g_assert_cmphex(in(fixture, MSR), ==, 0x00);
	out(fixture, MCR, 0x14); /* RI comes: no delta, … */
	g_assert_cmphex(in(fixture, MSR), ==, 0x40);
	out(fixture, MCR, 0x10); /* … it goes: trailing edge */
	g_assert_cmphex(in(fixture, MSR), ==, 0x04);
	/* Deltas gather until they are read. */
	out(fixture, MCR, 0x11);
	out(fixture, MCR, 0x12);
	g_assert_cmphex(in(fixture, MSR), ==, 0x13);
}

/* PC16550D table IV: each source hides those below it and shows again when that is served. */
static void test_priorities(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	out(fixture, MCR, LOOP);
	in(fixture, MSR);
	out(fixture, IER, 0x0f);
	out(fixture, MCR, LOOP | 0x01);
	out(fixture, DATA, 'a');
	out(fixture, DATA, 'b'); /* runs over 'a' */
	g_assert_cmphex(in(fixture, IIR), ==, 0x06);
	g_assert_cmphex(in(fixture, LSR), ==, THRE_TEMT | 0x03);
	g_assert_cmphex(in(fixture, IIR), ==, 0x04);
	g_assert_cmphex(in(fixture, DATA), ==, 'b');
	g_assert_cmphex(in(fixture, IIR), ==, 0x02);
	g_assert_cmphex(in(fixture, IIR), ==, 0x00);
	g_assert_cmphex(in(fixture, MSR), ==, 0x22);
	g_assert_cmphex(in(fixture, IIR), ==, 0x01);
	g_assert_false(fixture->line);
	g_assert_cmpuint(fixture->edges, ==, 1);
}

/* outw to the data port is two byte writes, as on ISA: THR and IER. */
static void test_word_access(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	uint16_t value = 0x0541;

	io_bus_access(fixture->bus, IO_SPACE_PORT, 0x3f8, true, &value, 2);
	assert_sent(fixture, "A");
	g_assert_cmphex(in(fixture, IER), ==, 0x05);
}

static void random_step(Fixture *fixture, GRand *rand)
{
	uint32_t value = g_rand_int(rand);
	static const char text[] = "the quick brown fox jumps";

	switch (value >> 28) {
	case 0:
	case 1:
		serial_receive(fixture->serial, (const uint8_t *)text, value % sizeof(text));
		break;
	case 2:
		fixture->room = value % 40;
		serial_output_ready(fixture->serial);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		in(fixture, value & 7);
		break;
	case 7:
		io_bus_access(fixture->bus, IO_SPACE_PORT, 0x3f0 + value % 24, value >> 27 & 1,
			      &value, 4);
		break;
	default:
		out(fixture, value & 7, (uint8_t)(value >> 8));
	}
}

/*
 * Anything in any order. Between calls: the line is high exactly when IIR tells
 * of something, and what IIR tells has a cause that is enabled and can be seen.
 */
static void test_random(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_test_message("seed 16550");
	g_autoptr(GRand) rand = g_rand_new_with_seed(16550);
	unsigned seen[16] = {0};

	fixture->room = 100;
	for (unsigned i = 0; i < 300000; i++) {
		random_step(fixture, rand);

		uint8_t lcr = in(fixture, LCR);

		out(fixture, LCR, lcr & 0x7f);

		uint8_t ier = in(fixture, IER);
		bool line = fixture->line;
		uint8_t iir = in(fixture, IIR) & 0x0f;

		g_assert_true(line == !(iir & 1));
		seen[iir]++;
		/* Registers that lose something when read are read seldom: all causes must pile up.
		 */
		if (i % 16 == 0) {
			uint8_t lsr = in(fixture, LSR), msr = in(fixture, MSR);

			g_assert_true(iir != 0x6 || ((ier & 4) && (lsr & 0x02)));
			g_assert_true((iir != 0x4 && iir != 0xc) || ((ier & 1) && (lsr & 0x01)));
			g_assert_true(iir != 0x2 || ((ier & 2) && (lsr & 0x20)));
			g_assert_true(iir != 0x0 || ((ier & 8) && (msr & 0x0f)));
			g_assert_true(!(lsr & 0x20) == !(lsr & 0x40));
			g_assert_cmphex(lsr & 0x9c, ==, 0);
		}
		out(fixture, LCR, lcr);
		g_string_truncate(fixture->sent, 0);
	}
	/* The walk went everywhere, and nowhere else. */
	static const uint8_t possible[16] = {
		[0x0] = 1, [0x1] = 1, [0x2] = 1, [0x4] = 1, [0x6] = 1, [0xc] = 1};

	for (size_t i = 0; i < G_N_ELEMENTS(possible); i++)
		g_assert_cmpint(seen[i] > 100, ==, possible[i]);
}

/* However the reader stops and goes: a guest that honours THRE loses no byte and gets no disorder.
 */
static void test_random_flow(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_test_message("seed 42");
	g_autoptr(GRand) rand = g_rand_new_with_seed(42);
	unsigned next = 0, idle = 0;

	open_port(fixture, 0x80, 0x02);
	while (next < 20000) {
		fixture->room = (size_t)g_rand_int_range(rand, 0, 30);
		serial_output_ready(fixture->serial);
		/* An interrupt-driven guest: without a line it does nothing. */
		if (!fixture->line) {
			g_assert_cmpuint(++idle, <, 100);
			continue;
		}
		idle = 0;
		g_assert_cmphex(in(fixture, IIR), ==, 0xc2);
		g_assert_true(in(fixture, LSR) & 0x20);
		for (unsigned i = 0; i < 16; i++)
			out(fixture, DATA, (uint8_t)next++);
	}
	fixture->room = SIZE_MAX;
	serial_output_ready(fixture->serial);
	g_assert_cmpuint(fixture->sent->len, ==, next);
	for (unsigned i = 0; i < next; i++)
		g_assert_cmphex((uint8_t)fixture->sent->str[i], ==, (uint8_t)i);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(Fixture *fixture, gconstpointer data);
	} tests[] = {
		{"/serial/reset", test_reset},
		{"/serial/registers", test_registers},
		{"/serial/linux-autoconfig", test_linux_autoconfig},
		{"/serial/linux-size-fifo", test_linux_size_fifo},
		{"/serial/linux-startup", test_linux_startup},
		{"/serial/transmit-interrupt", test_transmit_interrupt},
		{"/serial/blocked-output", test_blocked_output},
		{"/serial/blocked-16450", test_blocked_16450},
		{"/serial/receive", test_receive},
		{"/serial/receive-16450", test_receive_16450},
		{"/serial/room", test_room},
		{"/serial/modem", test_modem},
		{"/serial/priorities", test_priorities},
		{"/serial/word-access", test_word_access},
		{"/serial/random", test_random},
		{"/serial/random-flow", test_random_flow},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
	return g_test_run();
}
