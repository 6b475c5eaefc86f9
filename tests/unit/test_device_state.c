// SPDX-License-Identifier: MIT
/* Each device's state: out of one and into another, and values that no device holds. */
#include "base/error.h"
#include "base/layout.h"
#include "dev/ioapic.h"
#include "dev/power.h"
#include "dev/serial.h"

#include <string.h>

typedef struct Wires {
	unsigned irqs; /* changes of the line */
	bool line;
	unsigned messages;
	unsigned routes; /* of level-triggered pins that are not masked */
	size_t room;	 /* what the output still takes */
	GString *sent;
	unsigned room_calls;
} Wires;

static void on_irq(void *owner, unsigned gsi G_GNUC_UNUSED, bool level)
{
	Wires *wires = owner;

	wires->irqs++;
	wires->line = level;
}

static void on_message(void *owner, uint64_t address G_GNUC_UNUSED, uint32_t data G_GNUC_UNUSED)
{
	((Wires *)owner)->messages++;
}

static void on_route(void *owner, unsigned pin G_GNUC_UNUSED, bool masked, bool level,
		     uint64_t address G_GNUC_UNUSED, uint32_t data G_GNUC_UNUSED)
{
	((Wires *)owner)->routes += level && !masked;
}

static void on_request(void *owner G_GNUC_UNUSED, PowerRequest request G_GNUC_UNUSED)
{
}

static void on_room(void *owner)
{
	((Wires *)owner)->room_calls++;
}

static size_t on_output(void *owner, const uint8_t *data, size_t length)
{
	Wires *wires = owner;
	size_t n = MIN(length, wires->room);

	g_string_append_len(wires->sent, (const char *)data, (gssize)n);
	wires->room -= n;
	return n;
}

static Serial *new_serial(Wires *wires)
{
	wires->sent = g_string_new(NULL);
	return serial_create((IrqSink){on_irq, wires}, 4, (SerialOutput){on_output, wires});
}

static Ioapic *new_ioapic(Wires *wires)
{
	return ioapic_create((MsiSink){on_message, wires}, (IoapicRoutes){on_route, wires});
}

static void assert_refused(bool done, GError **error, const char *name)
{
	g_assert_false(done);
	g_assert_error(*error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	g_assert_nonnull(strstr((*error)->message, name));
	g_clear_error(error);
}

/* FIFOs on, RTS up, receive interrupt on; two bytes came in, three wait for the output. */
static const SerialState busy = {
	.ier = 0x01,
	.fcr = 0xc1,
	.lcr = 0x13,
	.mcr = 0x0b,
	.msr = 0xb0,
	.scr = 0x5a,
	.divisor = {1, 0},
	.receive = {{'h', 'i'}, 2},
	.transmit = {{'y', 'o', 'u'}, 3},
};

static void test_serial(void)
{
	Wires wires = {0};
	g_autoptr(Serial) serial = new_serial(&wires);
	SerialState found;
	GError *error = NULL;

	g_assert_true(serial_load(serial, &busy, &error));
	serial_save(serial, &found);
	g_assert_cmpmem(&found, sizeof(found), &busy, sizeof(busy));
	g_assert_true(wires.line); /* data waits, and the guest wants to be told */
	g_assert_cmpuint(wires.irqs, ==, 1);
	g_assert_cmpstr(wires.sent->str, ==, ""); /* nothing before the guest runs on */
	wires.room = SIZE_MAX;
	serial_output_ready(serial);
	g_assert_cmpstr(wires.sent->str, ==, "you");
	g_assert_cmpuint(serial_receive(serial, (const uint8_t *)"0123456789abcdef", 16), ==, 14);
	g_string_free(wires.sent, TRUE);
}

/* Input that was turned away before the load is asked for again if the loaded port takes it. */
static void test_serial_asks_for_input(void)
{
	Wires wires = {0};
	g_autoptr(Serial) serial = new_serial(&wires);
	SerialState state = busy;
	GError *error = NULL;

	state.receive.count = 0;
	serial_on_room(serial, on_room, &wires);
	g_assert_cmpuint(serial_receive(serial, (const uint8_t *)"x", 1), ==, 0);
	g_assert_true(serial_load(serial, &state, &error));
	g_assert_cmpuint(wires.room_calls, ==, 1);
	g_string_free(wires.sent, TRUE);
}

static void test_serial_bad(void)
{
	Wires wires = {0};
	g_autoptr(Serial) serial = new_serial(&wires);
	SerialState before, after;
	const struct {
		const char *name;
		size_t offset;
		uint8_t value;
	} bad[] = {
		{"receive.count", offsetof(SerialState, receive.count), 17},
		{"receive.count", offsetof(SerialState, receive.count), 255},
		{"transmit.count", offsetof(SerialState, transmit.count), 17},
		{"ier", offsetof(SerialState, ier), 0x10},
		{"fcr", offsetof(SerialState, fcr), 0xc3},
		{"fcr", offsetof(SerialState, fcr), 0x40},
		{"mcr", offsetof(SerialState, mcr), 0x20},
		{"overrun", offsetof(SerialState, overrun), 2},
		{"thr-interrupt", offsetof(SerialState, thr_interrupt), 0xff},
	};

	serial_save(serial, &before);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		GError *error = NULL;
		SerialState state = busy;

		((uint8_t *)&state)[bad[i].offset] = bad[i].value;
		assert_refused(serial_load(serial, &state, &error), &error, bad[i].name);
	}
	/* Without FIFOs there is room for one byte. */
	SerialState single = busy;
	GError *error = NULL;

	single.fcr = 0;
	assert_refused(serial_load(serial, &single, &error), &error, "receive.count");
	serial_save(serial, &after);
	g_assert_cmpmem(&before, sizeof(before), &after, sizeof(after));
	g_assert_cmpuint(wires.irqs, ==, 0);
	g_string_free(wires.sent, TRUE);
}

#define LEVEL_WAITING 0x010000000000c031UL /* level, sent, waits for its EOI; vector 0x31 */
#define EDGE	      0x0100000000000041UL
#define MASKED	      0x10000UL

static IoapicState ioapic_example(void)
{
	IoapicState state = {.lines = 1u << 9 | 1u << 4, .id = 1u << 24, .select = 0x17};

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		state.entries[pin] = MASKED;
	state.entries[9] = LEVEL_WAITING;
	state.entries[4] = EDGE;
	return state;
}

static void test_ioapic(void)
{
	Wires wires = {0};
	g_autoptr(Ioapic) ioapic = new_ioapic(&wires);
	IoapicState state = ioapic_example(), found;
	GError *error = NULL;

	g_assert_true(ioapic_load(ioapic, &state, &error));
	ioapic_save(ioapic, &found);
	g_assert_cmpmem(&found, sizeof(found), &state, sizeof(state));
	g_assert_cmpuint(wires.messages, ==, 0);
	g_assert_cmpuint(wires.routes, ==, 1);
	/* The pin's device says again what the line is: nothing new. */
	IrqSink irq = ioapic_irq_sink(ioapic);

	irq.set(irq.owner, 4, true);
	g_assert_cmpuint(wires.messages, ==, 0);
	/* And the EOI of the level pin, still asserted, makes it fire again. */
	ioapic_end_of_interrupt(ioapic, 0x31);
	g_assert_cmpuint(wires.messages, ==, 1);
}

static void test_ioapic_bad(void)
{
	Wires wires = {0};
	g_autoptr(Ioapic) ioapic = new_ioapic(&wires);
	IoapicState before, after, state = ioapic_example();
	GError *error = NULL;

	ioapic_save(ioapic, &before);
	state.entries[23] = MASKED | 1UL << 20;
	assert_refused(ioapic_load(ioapic, &state, &error), &error, "entries[23]");
	state = ioapic_example();
	state.entries[4] = EDGE | 1UL << 14; /* an edge never waits for an EOI */
	assert_refused(ioapic_load(ioapic, &state, &error), &error, "entries[4]");
	state = ioapic_example();
	state.lines |= 1u << 24;
	assert_refused(ioapic_load(ioapic, &state, &error), &error, "lines");
	state = ioapic_example();
	state.id = 1;
	assert_refused(ioapic_load(ioapic, &state, &error), &error, "id");
	ioapic_save(ioapic, &after);
	g_assert_cmpmem(&before, sizeof(before), &after, sizeof(after));
	g_assert_cmpuint(wires.routes, ==, 0);
}

static void test_power(void)
{
	Wires wires = {0};
	g_autoptr(Power) power =
		power_create((IrqSink){on_irq, &wires}, 9, (PowerSink){on_request, NULL});
	PowerState state = {.events = LAYOUT_EVENT_POWER_BUTTON, .wake_status = 0x80}, found;
	GError *error = NULL;

	g_assert_true(power_load(power, &state, &error));
	power_save(power, &found);
	g_assert_cmpmem(&found, sizeof(found), &state, sizeof(state));
	g_assert_cmpuint(wires.irqs, ==, 0);
	state.events = 2;
	assert_refused(power_load(power, &state, &error), &error, "events");
	state = (PowerState){.wake_status = 0x40};
	assert_refused(power_load(power, &state, &error), &error, "wake-status");
	power_save(power, &found);
	g_assert_cmphex(found.events, ==, LAYOUT_EVENT_POWER_BUTTON);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/device-state/serial", test_serial);
	g_test_add_func("/device-state/serial-asks-for-input", test_serial_asks_for_input);
	g_test_add_func("/device-state/serial-bad", test_serial_bad);
	g_test_add_func("/device-state/ioapic", test_ioapic);
	g_test_add_func("/device-state/ioapic-bad", test_ioapic_bad);
	g_test_add_func("/device-state/power", test_power);
	return g_test_run();
}
