// SPDX-License-Identifier: MIT
/*
 * The I/O APIC of a split irqchip (Intel 82093AA data sheet, version register
 * 0x20 with EOI register): 24 pins, MMIO registers, interrupts delivered as
 * messages to the LAPICs in the kernel. All calls with the bus lock held.
 */
#ifndef UMBRA_DEV_IOAPIC_H
#define UMBRA_DEV_IOAPIC_H

#include "dev/bus.h"
#include "state/device_state.h"

typedef struct Ioapic Ioapic;

/*
 * KVM tells of an EOI only for vectors of routes it knows. `changed` is called
 * whenever the guest changes a redirection entry, with the message that the pin
 * would send, so that the machine can keep KVM's routing table in step; always
 * before the pin may fire by the new entry.
 */
typedef struct IoapicRoutes {
	void (*changed)(void *owner, unsigned pin, bool masked, bool level, uint64_t address,
			uint32_t data);
	void *owner;
} IoapicRoutes;

Ioapic *ioapic_create(MsiSink msi, IoapicRoutes routes);
void ioapic_destroy(Ioapic *ioapic);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ioapic, ioapic_destroy)

void ioapic_attach(Ioapic *ioapic, IoBus *bus);

/*
 * The sink that devices get: a pin's level changed. An edge is a change to true;
 * on a masked pin it is lost, as on hardware (82093AA 3.2.4), while a level that
 * is still there when the mask goes fires then.
 */
IrqSink ioapic_irq_sink(Ioapic *ioapic);

/* A LAPIC ended the interrupt `vector` (KVM_EXIT_IOAPIC_EOI): level pins still high fire again. */
void ioapic_end_of_interrupt(Ioapic *ioapic, unsigned vector);

/*
 * What the guest sees of it. Loading comes before that of any device on its pins,
 * refuses values that it never holds (UMBRA_ERROR_INPUT) and changes nothing then; else
 * it makes the routes known and sends nothing: what was sent before the state was
 * taken is in the LAPICs.
 */
void ioapic_save(const Ioapic *ioapic, IoapicState *ret_state);
bool ioapic_load(Ioapic *ioapic, const IoapicState *state, GError **error);

#endif
