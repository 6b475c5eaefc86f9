// SPDX-License-Identifier: MIT
/*
 * The registers, and what tells of interrupts. Expectations by hand from the PC16550D
 * data sheet, and the sequences with which Linux finds out what it has
 * (drivers/tty/serial/8250/8250_port.c: autoconfig, serial8250_do_startup).
 */
#include "serial_fixture.h"

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

int main(int argc, char **argv)
{
	static const SerialTest tests[] = {
		{"/serial/reset", test_reset},
		{"/serial/registers", test_registers},
		{"/serial/linux-autoconfig", test_linux_autoconfig},
		{"/serial/linux-size-fifo", test_linux_size_fifo},
		{"/serial/linux-startup", test_linux_startup},
		{"/serial/modem", test_modem},
		{"/serial/priorities", test_priorities},
		{"/serial/word-access", test_word_access},
	};

	return serial_tests_run(argc, argv, tests, G_N_ELEMENTS(tests));
}
