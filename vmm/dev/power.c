// SPDX-License-Identifier: MIT
#include "dev/power.h"

#include "base/error.h"
#include "base/layout.h"

/* Sleep control register (ACPI 6.4, table 4.18) and sleep status register (table 4.19). */
#define SLEEP_TYPE_SHIFT 2
#define SLEEP_TYPE_MASK	 0x7
#define SLEEP_ENABLE	 0x20
#define WAKE_STATUS	 0x80

struct Power {
	PowerState state;
	IrqSink irq;
	unsigned event_gsi;
	PowerSink sink;
};

Power *power_create(IrqSink irq, unsigned event_gsi, PowerSink sink)
{
	Power *power = g_new0(Power, 1);

	power->irq = irq;
	power->event_gsi = event_gsi;
	power->sink = sink;
	return power;
}

void power_destroy(Power *power)
{
	g_free(power);
}

/*
 * Control and status share the port: SLP_EN and WAK_STS are different bits.
 * S5 is the one state that the DSDT offers; a guest that tries another wakes up
 * at once instead of polling for WAK_STS for ever.
 */
static void sleep_write(Power *power, uint8_t value)
{
	if (value & WAKE_STATUS)
		power->state.wake_status = 0;
	if (!(value & SLEEP_ENABLE))
		return;
	if (((value >> SLEEP_TYPE_SHIFT) & SLEEP_TYPE_MASK) == LAYOUT_SLEEP_TYPE_S5)
		power->sink.request(power->sink.owner, POWER_REQUEST_OFF);
	else
		power->state.wake_status = WAKE_STATUS;
}

static uint64_t sleep_port_read(void *device, uint64_t offset G_GNUC_UNUSED,
				unsigned size G_GNUC_UNUSED)
{
	Power *power = device;

	return power->state.wake_status;
}

static void sleep_port_write(void *device, uint64_t offset G_GNUC_UNUSED,
			     unsigned size G_GNUC_UNUSED, uint64_t value)
{
	sleep_write(device, (uint8_t)value);
}

static uint64_t reset_port_read(void *device G_GNUC_UNUSED, uint64_t offset G_GNUC_UNUSED,
				unsigned size G_GNUC_UNUSED)
{
	return 0;
}

static void reset_port_write(void *device, uint64_t offset G_GNUC_UNUSED,
			     unsigned size G_GNUC_UNUSED, uint64_t value)
{
	Power *power = device;

	if (value == LAYOUT_ACPI_RESET_VALUE)
		power->sink.request(power->sink.owner, POWER_REQUEST_RESET);
}

/* Reading takes the events: each press is seen once. */
static uint64_t event_port_read(void *device, uint64_t offset G_GNUC_UNUSED,
				unsigned size G_GNUC_UNUSED)
{
	Power *power = device;
	uint8_t events = power->state.events;

	power->state.events = 0;
	return events;
}

static void event_port_write(void *device G_GNUC_UNUSED, uint64_t offset G_GNUC_UNUSED,
			     unsigned size G_GNUC_UNUSED, uint64_t value G_GNUC_UNUSED)
{
}

static const struct {
	uint64_t port;
	IoOps ops;
} power_ports[] = {
	{LAYOUT_ACPI_SLEEP, {"acpi-sleep", sleep_port_read, sleep_port_write, 1}},
	{LAYOUT_ACPI_RESET, {"acpi-reset", reset_port_read, reset_port_write, 1}},
	{LAYOUT_ACPI_EVENT, {"acpi-event", event_port_read, event_port_write, 1}},
};

void power_attach(Power *power, IoBus *bus)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(power_ports); i++)
		io_bus_add(bus, IO_SPACE_PORT, power_ports[i].port, 1, &power_ports[i].ops, power);
}

/*
 * A pulse, not a level that stays until the guest reads: an edge that comes
 * while the pin is still masked is lost, and with the line stuck high no later
 * press could make another.
 */
void power_press_button(Power *power)
{
	power->state.events |= LAYOUT_EVENT_POWER_BUTTON;
	power->irq.set(power->irq.owner, power->event_gsi, true);
	power->irq.set(power->irq.owner, power->event_gsi, false);
}

void power_save(const Power *power, PowerState *ret_state)
{
	*ret_state = power->state;
}

bool power_load(Power *power, const PowerState *state, GError **error)
{
	if (state->events & ~LAYOUT_EVENT_POWER_BUTTON)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "power: events = %#x: there is none but the power button's",
				  state->events);
	if (state->wake_status & ~WAKE_STATUS)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "power: wake-status = %#x has other bits than WAK_STS",
				  state->wake_status);
	power->state = *state;
	return true;
}
