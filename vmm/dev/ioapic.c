// SPDX-License-Identifier: MIT
#include "dev/ioapic.h"

#include "base/error.h"
#include "base/layout.h"

#define PINS IOAPIC_PINS
G_STATIC_ASSERT(PINS == LAYOUT_IOAPIC_PINS);

/* MMIO offsets (82093AA 3.1; the EOI register came with version 0x20). */
#define MMIO_SELECT 0x00
#define MMIO_WINDOW 0x10
#define MMIO_EOI    0x40

/* Register indexes behind the window (82093AA 3.2). */
#define REG_ID		0x00
#define REG_VERSION	0x01
#define REG_ARBITRATION 0x02
#define REG_ENTRIES	0x10 /* two for each pin, low half first */

#define ID_MASK		0x0f000000u
#define VERSION		((PINS - 1) << 16 | 0x20)

/* A redirection entry (82093AA 3.2.4). */
#define ENTRY_VECTOR	     0xffULL
#define ENTRY_DELIVERY_SHIFT 8
#define ENTRY_DELIVERY	     (7ULL << ENTRY_DELIVERY_SHIFT)
#define ENTRY_LOGICAL	     (1ULL << 11)
#define ENTRY_POLARITY	     (1ULL << 13)
#define ENTRY_REMOTE_IRR     (1ULL << 14)
#define ENTRY_LEVEL	     (1ULL << 15)
#define ENTRY_MASKED	     (1ULL << 16)
#define ENTRY_DEST_SHIFT     56
#define ENTRY_DEST	     (0xffULL << ENTRY_DEST_SHIFT)
#define ENTRY_WRITABLE                                                                  \
	(ENTRY_VECTOR | ENTRY_DELIVERY | ENTRY_LOGICAL | ENTRY_POLARITY | ENTRY_LEVEL | \
	 ENTRY_MASKED | ENTRY_DEST)

/* Delivery modes of which a message can be made, as a bit mask: 3 and 6 are reserved. */
#define DELIVERY_FIXED	  0
#define DELIVERY_LOWEST	  1
#define DELIVERY_SENDABLE (1u << 0 | 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 7)

/* A message to the LAPICs (SDM volume 3, "Message Signalled Interrupts"). */
#define MSI_DEST_SHIFT 12
#define MSI_LOGICAL    (1ULL << 2)
#define MSI_ASSERT     (1u << 14)
#define MSI_LEVEL      (1u << 15)

struct Ioapic {
	IoapicState state;
	MsiSink msi;
	IoapicRoutes routes;
};

Ioapic *ioapic_create(MsiSink msi, IoapicRoutes routes)
{
	Ioapic *ioapic = g_new0(Ioapic, 1);

	ioapic->msi = msi;
	ioapic->routes = routes;
	for (unsigned pin = 0; pin < PINS; pin++)
		ioapic->state.entries[pin] = ENTRY_MASKED;
	return ioapic;
}

void ioapic_destroy(Ioapic *ioapic)
{
	g_free(ioapic);
}

static unsigned entry_delivery(uint64_t entry)
{
	return (entry & ENTRY_DELIVERY) >> ENTRY_DELIVERY_SHIFT;
}

/* SMI, NMI, INIT and ExtINT are edges whatever the trigger bit says: no LAPIC ever ends them. */
static bool entry_is_level(uint64_t entry)
{
	return (entry & ENTRY_LEVEL) && entry_delivery(entry) <= DELIVERY_LOWEST;
}

static uint64_t entry_address(uint64_t entry)
{
	return LAYOUT_LAPIC | (entry >> ENTRY_DEST_SHIFT) << MSI_DEST_SHIFT |
	       (entry & ENTRY_LOGICAL ? MSI_LOGICAL : 0);
}

/* Vector and delivery mode stand at the same bits in an entry and in a message. */
static uint32_t entry_data(uint64_t entry)
{
	return (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_DELIVERY)) | MSI_ASSERT |
	       (entry_is_level(entry) ? MSI_LEVEL : 0);
}

static void send(Ioapic *ioapic, unsigned pin)
{
	uint64_t *entry = &ioapic->state.entries[pin];

	if (!(DELIVERY_SENDABLE & 1u << entry_delivery(*entry)))
		return;
	/* First: the machine may learn of the EOI before send() returns. */
	if (entry_is_level(*entry))
		*entry |= ENTRY_REMOTE_IRR;
	ioapic->msi.send(ioapic->msi.owner, entry_address(*entry), entry_data(*entry));
}

/* A level pin that is asserted, not masked and not waiting for its EOI fires. */
static void fire_level(Ioapic *ioapic, unsigned pin)
{
	uint64_t entry = ioapic->state.entries[pin];

	if (entry_is_level(entry) && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) &&
	    (ioapic->state.lines & 1u << pin))
		send(ioapic, pin);
}

/* An edge on a masked pin is neither delivered nor held pending (82093AA 3.2.4, bit 16). */
static void pin_set(void *owner, unsigned pin, bool level)
{
	Ioapic *ioapic = owner;
	uint32_t bit = 1u << pin;

	g_assert(pin < PINS);
	if (level == !!(ioapic->state.lines & bit))
		return;
	ioapic->state.lines ^= bit;
	if (!level)
		return;

	uint64_t entry = ioapic->state.entries[pin];

	if (entry_is_level(entry))
		fire_level(ioapic, pin);
	else if (!(entry & ENTRY_MASKED))
		send(ioapic, pin);
}

IrqSink ioapic_irq_sink(Ioapic *ioapic)
{
	return (IrqSink){.set = pin_set, .owner = ioapic};
}

void ioapic_end_of_interrupt(Ioapic *ioapic, unsigned vector)
{
	for (unsigned pin = 0; pin < PINS; pin++) {
		uint64_t *entry = &ioapic->state.entries[pin];

		if ((*entry & ENTRY_VECTOR) != vector || !(*entry & ENTRY_REMOTE_IRR))
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		fire_level(ioapic, pin);
	}
}

static void tell_route(Ioapic *ioapic, unsigned pin)
{
	uint64_t entry = ioapic->state.entries[pin];

	ioapic->routes.changed(ioapic->routes.owner, pin, entry & ENTRY_MASKED,
			       entry_is_level(entry), entry_address(entry), entry_data(entry));
}

/*
 * Takes over the bits that can be written. Remote IRR goes when the pin turns
 * to edge: Linux ends level interrupts that way on version 0x1x, and relies on
 * it when it takes a pin over from a kernel that crashed. The route is made
 * known before the pin may fire: the EOI of that very message must be heard.
 */
static void entry_write(Ioapic *ioapic, unsigned pin, uint64_t value)
{
	uint64_t *entry = &ioapic->state.entries[pin];
	uint64_t before = *entry;

	*entry = (before & ~ENTRY_WRITABLE) | (value & ENTRY_WRITABLE);
	if (!entry_is_level(*entry))
		*entry &= ~ENTRY_REMOTE_IRR;
	if ((before ^ *entry) & ENTRY_WRITABLE)
		tell_route(ioapic, pin);
	fire_level(ioapic, pin);
}

static uint32_t register_read(const Ioapic *ioapic, unsigned index)
{
	switch (index) {
	case REG_ID:
	case REG_ARBITRATION: /* loaded from the id, and nobody arbitrates here */
		return ioapic->state.id;
	case REG_VERSION:
		return VERSION;
	}
	if (index < REG_ENTRIES || index >= REG_ENTRIES + 2 * PINS)
		return 0;

	uint64_t entry = ioapic->state.entries[(index - REG_ENTRIES) / 2];

	return index % 2 ? (uint32_t)(entry >> 32) : (uint32_t)entry;
}

static void register_write(Ioapic *ioapic, unsigned index, uint32_t value)
{
	if (index == REG_ID)
		ioapic->state.id = value & ID_MASK;
	if (index < REG_ENTRIES || index >= REG_ENTRIES + 2 * PINS)
		return;

	unsigned pin = (index - REG_ENTRIES) / 2;
	uint64_t entry = ioapic->state.entries[pin];

	if (index % 2)
		entry_write(ioapic, pin, (uint64_t)value << 32 | (uint32_t)entry);
	else
		entry_write(ioapic, pin, (entry & ~0xffffffffULL) | value);
}

/* Registers are 32 bits wide. Narrower accesses act at the first byte only, as if widened. */
static uint64_t mmio_read(void *device, uint64_t offset, unsigned size G_GNUC_UNUSED)
{
	const Ioapic *ioapic = device;

	switch (offset) {
	case MMIO_SELECT:
		return ioapic->state.select;
	case MMIO_WINDOW:
		return register_read(ioapic, ioapic->state.select);
	}
	return 0;
}

static void mmio_write(void *device, uint64_t offset, unsigned size G_GNUC_UNUSED, uint64_t value)
{
	Ioapic *ioapic = device;

	switch (offset) {
	case MMIO_SELECT:
		ioapic->state.select = (uint8_t)value;
		break;
	case MMIO_WINDOW:
		register_write(ioapic, ioapic->state.select, (uint32_t)value);
		break;
	case MMIO_EOI:
		ioapic_end_of_interrupt(ioapic, (uint8_t)value);
		break;
	}
}

static const IoOps ioapic_ops = {
	.name = "ioapic",
	.read = mmio_read,
	.write = mmio_write,
	.width = 4,
};

void ioapic_attach(Ioapic *ioapic, IoBus *bus)
{
	io_bus_add(bus, IO_SPACE_MMIO, LAYOUT_IOAPIC, LAYOUT_IOAPIC_SIZE, &ioapic_ops, ioapic);
}

void ioapic_save(const Ioapic *ioapic, IoapicState *ret_state)
{
	*ret_state = ioapic->state;
}

static bool entry_is_possible(uint64_t entry)
{
	return !(entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR)) &&
	       (entry_is_level(entry) || !(entry & ENTRY_REMOTE_IRR));
}

bool ioapic_load(Ioapic *ioapic, const IoapicState *state, GError **error)
{
	for (unsigned pin = 0; pin < PINS; pin++)
		if (!entry_is_possible(state->entries[pin]))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "ioapic: entries[%u] = %#lx has bits that it cannot have",
					  pin, state->entries[pin]);
	if (state->lines >> PINS)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "ioapic: lines = %#x: there are %u pins", state->lines, PINS);
	if (state->id & ~ID_MASK)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "ioapic: id = %#x: it has its place in bits 27:24", state->id);
	ioapic->state = *state;
	for (unsigned pin = 0; pin < PINS; pin++)
		tell_route(ioapic, pin);
	return true;
}
