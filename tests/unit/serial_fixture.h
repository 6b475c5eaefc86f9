// SPDX-License-Identifier: MIT
/* A serial port at 0x3f8 with a guest that programs it and whoever reads what it sends. */
#ifndef UMBRA_TESTS_SERIAL_FIXTURE_H
#define UMBRA_TESTS_SERIAL_FIXTURE_H

#include "dev/serial.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

#define THRE_TEMT 0x60
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

/* The guest's accesses, of one byte. */
void out(Fixture *fixture, unsigned reg, uint8_t value);
uint8_t in(Fixture *fixture, unsigned reg);

/* As a driver that has opened the port: FIFOs on at `trigger` (FCR bits 7:6), RTS and OUT2 up. */
void open_port(Fixture *fixture, uint8_t trigger, uint8_t ier);

/* What has come out since the last time. */
void assert_sent(Fixture *fixture, const char *expected);

typedef struct SerialTest {
	const char *name;
	void (*run)(Fixture *fixture, gconstpointer data);
} SerialTest;

/* Runs them, each with a port of its own; main()'s exit status. */
int serial_tests_run(int argc, char **argv, const SerialTest *tests, size_t n);

#endif
