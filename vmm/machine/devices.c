// SPDX-License-Identifier: MIT
/*
 * The devices that every machine has, and the wires between them: devices pull
 * pins of the I/O APIC, the I/O APIC sends messages to the LAPICs in the kernel.
 */
#include "machine/internal.h"

#include "base/error.h"

#include <string.h>

static void send_message(void *owner, uint64_t address, uint32_t data)
{
	Machine *machine = owner;

	kvm_vm_signal_msi(&machine->vm, address, data);
}

/*
 * KVM reports an EOI (KVM_EXIT_IOAPIC_EOI) only for vectors that a route names
 * as level-triggered. Edge-triggered pins need no route, and since replacing
 * the table makes every vCPU take notice, it is done for level pins alone.
 */
static void route_changed(void *owner, unsigned pin, bool masked, bool level, uint64_t address,
			  uint32_t data)
{
	Machine *machine = owner;
	struct kvm_irq_routing_entry entries[LAYOUT_IOAPIC_PINS];
	bool wanted = level && !masked;
	unsigned n = 0;

	if (!wanted && machine->routes[pin].type == 0)
		return;
	machine->routes[pin] = (struct kvm_irq_routing_entry){0};
	if (wanted)
		machine->routes[pin] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = (uint32_t)address,
				  .address_hi = (uint32_t)(address >> 32),
				  .data = data},
		};
	for (unsigned i = 0; i < LAYOUT_IOAPIC_PINS; i++)
		if (machine->routes[i].type != 0)
			entries[n++] = machine->routes[i];
	/* Cannot fail with entries of this shape; a guest would merely miss an EOI. */
	(void)kvm_vm_set_routes(&machine->vm, entries, n, NULL);
}

/* The vCPU that wrote the register is the one that ends the guest: see vcpu.c. */
static void power_requested(void *owner, PowerRequest request)
{
	Machine *machine = owner;
	MachineEnd end = {
		.kind = request == POWER_REQUEST_RESET ? MACHINE_END_RESET : MACHINE_END_POWER_OFF,
	};

	machine_set_end(machine, &end);
}

void machine_add_devices(Machine *machine)
{
	MsiSink messages = {.send = send_message, .owner = machine};
	IoapicRoutes routes = {.changed = route_changed, .owner = machine};
	PowerSink power = {.request = power_requested, .owner = machine};

	machine->bus = io_bus_create();
	machine->ioapic = ioapic_create(messages, routes);
	ioapic_attach(machine->ioapic, machine->bus);

	IrqSink irqs = ioapic_irq_sink(machine->ioapic);

	machine->serial = serial_create(irqs, LAYOUT_GSI_COM1, machine->sink.console);
	serial_attach(machine->serial, machine->bus, LAYOUT_COM1);
	machine->power = power_create(irqs, LAYOUT_GSI_ACPI_EVENT, power);
	power_attach(machine->power, machine->bus);
}

void machine_remove_devices(Machine *machine)
{
	power_destroy(machine->power);
	serial_destroy(machine->serial);
	ioapic_destroy(machine->ioapic);
	io_bus_destroy(machine->bus);
}

#define DEVICE_ROW(name, type, State)                                                    \
	static void name##_row_save(const Machine *machine, void *ret_state)             \
	{                                                                                \
		name##_save(machine->name, (State *)ret_state);                          \
	}                                                                                \
	static bool name##_row_load(Machine *machine, const void *state, GError **error) \
	{                                                                                \
		return name##_load(machine->name, (const State *)state, error);          \
	}
DEVICE_ROW(ioapic, Ioapic, IoapicState)
DEVICE_ROW(serial, Serial, SerialState)
DEVICE_ROW(power, Power, PowerState)
#undef DEVICE_ROW

/* In the order of the load: the I/O APIC before those on its pins. */
static const struct {
	const char *kind;
	void (*save)(const Machine *machine, void *ret_state);
	bool (*load)(Machine *machine, const void *state, GError **error);
} rows[] = {
	{"ioapic", ioapic_row_save, ioapic_row_load},
	{"serial", serial_row_save, serial_row_load},
	{"power", power_row_save, power_row_load},
};

void machine_save_devices(Machine *machine, MachineState *state)
{
	io_bus_lock(machine->bus);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const DeviceKind *kind = device_kind_find(rows[i].kind);

		rows[i].save(machine, machine_state_add_device(state, kind)->data);
	}
	io_bus_unlock(machine->bus);
}

/* Each device once, and no other. */
static bool check_devices(const MachineState *state, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (!machine_state_find_device(state, rows[i].kind))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "the state has no device %s, and every machine has one",
					  rows[i].kind);
	for (guint i = 0; i < state->devices->len; i++) {
		const DeviceState *device = state->devices->pdata[i];
		bool known = false;

		for (unsigned j = 0; j < G_N_ELEMENTS(rows); j++)
			known = known || strcmp(rows[j].kind, device->kind->name) == 0;
		if (!known)
			return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
					  "the state has a device %s, and this machine none",
					  device->kind->name);
		if (machine_state_find_device(state, device->kind->name) != device)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "the state has more than one device %s",
					  device->kind->name);
	}
	return true;
}

bool machine_load_devices(Machine *machine, const MachineState *state, GError **error)
{
	bool done = true;

	if (!check_devices(state, error))
		return false;
	io_bus_lock(machine->bus);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows) && done; i++)
		done = rows[i].load(machine, machine_state_find_device(state, rows[i].kind)->data,
				    error);
	io_bus_unlock(machine->bus);
	return done;
}
