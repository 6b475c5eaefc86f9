// SPDX-License-Identifier: MIT
/*
 * A 16550A as stock kernels drive it (National Semiconductor PC16550D data
 * sheet): 16-byte FIFOs, interrupts for received data, line status and
 * transmitter empty. All calls with the bus lock held.
 */
#ifndef UMBRA_DEV_SERIAL_H
#define UMBRA_DEV_SERIAL_H

#include "dev/bus.h"
#include "state/device_state.h"

#include <stddef.h>

/*
 * Where the guest's output goes. Returns how many of the bytes were taken; when
 * not all were, the transmitter stays busy until serial_output_ready().
 */
typedef struct SerialOutput {
	size_t (*write)(void *owner, const uint8_t *data, size_t length);
	void *owner;
} SerialOutput;

typedef struct Serial Serial;

Serial *serial_create(IrqSink irq, unsigned gsi, SerialOutput output);
void serial_destroy(Serial *serial);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Serial, serial_destroy)

void serial_attach(Serial *serial, IoBus *bus, uint64_t port);

/*
 * Input for the guest: takes what fits into the receive FIFO and returns how
 * much that was. Nothing fits before the guest has raised RTS (a driver does so
 * when the port is opened, after it has cleared the FIFOs) or in loopback. What
 * was not taken stays with the caller, who is told by serial_on_room.
 */
size_t serial_receive(Serial *serial, const uint8_t *data, size_t length);

/* The output takes bytes again: sends what was held back. */
void serial_output_ready(Serial *serial);

/*
 * `notify` is called, with the bus lock held and mostly on a vCPU thread, when
 * input was turned away and fits again: once the FIFO is empty, not for each
 * byte. It must not call back into the serial port.
 */
void serial_on_room(Serial *serial, void (*notify)(void *owner), void *owner);

/*
 * What the guest sees of it. Loading refuses values that no port ever holds
 * (UMBRA_ERROR_INPUT), changes nothing then, and else brings the interrupt line to where
 * it was: after the I/O APIC's own load no pin changes by it. Output that was held
 * back waits for serial_output_ready().
 */
void serial_save(const Serial *serial, SerialState *ret_state);
bool serial_load(Serial *serial, const SerialState *state, GError **error);

#endif
