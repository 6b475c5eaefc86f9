// SPDX-License-Identifier: MIT
/* Accesses without plan: what must hold between the registers whatever a guest does. */
#include "serial_fixture.h"

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
	static const SerialTest tests[] = {
		{"/serial/random", test_random},
		{"/serial/random-flow", test_random_flow},
	};

	return serial_tests_run(argc, argv, tests, G_N_ELEMENTS(tests));
}
