// SPDX-License-Identifier: MIT
/*
 * What the guest sees of each device, without its wiring: what a snapshot has to
 * carry. A new device adds its structure here, its description and its row in
 * device_state.c, and load and save in dev/; nothing else changes.
 */
#ifndef UMBRA_STATE_DEVICE_STATE_H
#define UMBRA_STATE_DEVICE_STATE_H

#include "state/fields.h"

#include <stdbool.h>

#define SERIAL_FIFO_SIZE 16

typedef struct SerialFifo {
	uint8_t bytes[SERIAL_FIFO_SIZE];
	uint8_t count; /* oldest byte first in `bytes` */
} SerialFifo;

/* A 16550A: names as in its data sheet. */
typedef struct SerialState {
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t divisor[2];
	bool overrun;	    /* LSR.OE */
	bool thr_interrupt; /* the transmitter became empty, and nobody has been told yet */
	SerialFifo receive;
	SerialFifo transmit; /* only while the output is blocked */
} SerialState;

#define IOAPIC_PINS 24

typedef struct IoapicState {
	uint64_t entries[IOAPIC_PINS];
	uint32_t lines; /* one bit for each pin: asserted */
	uint32_t id;	/* bits 27:24 */
	uint8_t select;
} IoapicState;

typedef struct PowerState {
	uint8_t events;	     /* LAYOUT_EVENT_*, until the guest reads them */
	uint8_t wake_status; /* ACPI's WAK_STS or 0, cleared by writing a one */
} PowerState;

typedef struct DeviceKind {
	const char *name; /* of the node: "serial", "ioapic" */
	const StateGroup *group;
} DeviceKind;

typedef struct DeviceState {
	const DeviceKind *kind;
	void *data; /* kind->group->size bytes */
} DeviceState;

/* NULL for a kind that this version does not know. */
const DeviceKind *device_kind_find(const char *name);

#endif
