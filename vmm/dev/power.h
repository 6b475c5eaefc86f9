// SPDX-License-Identifier: MIT
/*
 * ACPI reduced-hardware power control: the sleep control register, the reset
 * register and the generic event device (ACPI 6.4, 4.8.3.7, 4.8.3.6, 5.6.9) at the
 * ports of base/layout.h. All calls with the bus lock held.
 */
#ifndef UMBRA_DEV_POWER_H
#define UMBRA_DEV_POWER_H

#include "dev/bus.h"
#include "state/device_state.h"

typedef enum PowerRequest { POWER_REQUEST_OFF, POWER_REQUEST_RESET } PowerRequest;

/* What the guest asked for. Called from the vCPU thread that did, with the bus lock held. */
typedef struct PowerSink {
	void (*request)(void *owner, PowerRequest request);
	void *owner;
} PowerSink;

typedef struct Power Power;

Power *power_create(IrqSink irq, unsigned event_gsi, PowerSink sink);
void power_destroy(Power *power);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Power, power_destroy)

void power_attach(Power *power, IoBus *bus);

/* Presses the power button: the guest is told and may shut itself down. */
void power_press_button(Power *power);

/* What the guest sees of it; loading refuses what it never holds (UMBRA_ERROR_INPUT). */
void power_save(const Power *power, PowerState *ret_state);
bool power_load(Power *power, const PowerState *state, GError **error);

#endif
