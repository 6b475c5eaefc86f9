// SPDX-License-Identifier: MIT
#include "state/device_state.h"

#include <glib.h>
#include <string.h>

G_STATIC_ASSERT(sizeof(bool) == sizeof(uint8_t));

static const StateField fifo_fields[] = {
	STATE_BYTES(SerialFifo, "bytes", bytes),
	STATE_U8(SerialFifo, "count", count),
};
static const StateGroup fifo_group = STATE_GROUP_OF(SerialFifo, fifo_fields);

static const StateField serial_fields[] = {
	STATE_U8(SerialState, "ier", ier),
	STATE_U8(SerialState, "fcr", fcr),
	STATE_U8(SerialState, "lcr", lcr),
	STATE_U8(SerialState, "mcr", mcr),
	STATE_U8(SerialState, "msr", msr),
	STATE_U8(SerialState, "scr", scr),
	STATE_ARRAY(SerialState, "divisor", divisor, FIELD_U8, 2, 1),
	STATE_BOOL(SerialState, "overrun", overrun),
	STATE_BOOL(SerialState, "thr-interrupt", thr_interrupt),
	STATE_GROUP(SerialState, "receive", receive, &fifo_group),
	STATE_GROUP(SerialState, "transmit", transmit, &fifo_group),
};
static const StateGroup serial_group = STATE_GROUP_OF(SerialState, serial_fields);

static const StateField ioapic_fields[] = {
	STATE_ARRAY(IoapicState, "entries", entries, FIELD_U64, IOAPIC_PINS, sizeof(uint64_t)),
	STATE_U32(IoapicState, "lines", lines),
	STATE_U32(IoapicState, "id", id),
	STATE_U8(IoapicState, "select", select),
};
static const StateGroup ioapic_group = STATE_GROUP_OF(IoapicState, ioapic_fields);

static const StateField power_fields[] = {
	STATE_U8(PowerState, "events", events),
	STATE_U8(PowerState, "wake-status", wake_status),
};
static const StateGroup power_group = STATE_GROUP_OF(PowerState, power_fields);

static const DeviceKind kinds[] = {
	{"ioapic", &ioapic_group},
	{"serial", &serial_group},
	{"power", &power_group},
};

const DeviceKind *device_kind_find(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}
