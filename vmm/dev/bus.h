// SPDX-License-Identifier: MIT
/*
 * The port bus and the MMIO bus: who answers at which address.
 *
 * Accesses come from vCPU threads, input and timers from the main thread. One
 * lock, the bus lock, is held around every call into a device: a device never
 * locks by itself, and code outside a vCPU exit takes the lock first
 * (io_bus_lock) before it calls into a device.
 */
#ifndef UMBRA_DEV_BUS_H
#define UMBRA_DEV_BUS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A device's answers. `offset` counts from the start of its range; `size` is 1,
 * 2, 4 or 8 and never more than `width`; `offset` is a multiple of `size`, and
 * the access lies within the range: the bus cuts others into such pieces, lowest
 * address first. What a read returns beyond `size` bytes is ignored, what a write
 * gets there is zero.
 */
typedef struct IoOps {
	const char *name;
	uint64_t (*read)(void *device, uint64_t offset, unsigned size);
	void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
	unsigned width; /* widest access that the device takes in one piece; 0: any */
} IoOps;

typedef enum IoSpace { IO_SPACE_PORT, IO_SPACE_MMIO } IoSpace;

typedef struct IoBus IoBus;

IoBus *io_bus_create(void);
void io_bus_destroy(IoBus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IoBus, io_bus_destroy)

/* Ranges must not overlap: that is a programming error and aborts. Before the guest starts only. */
void io_bus_add(IoBus *bus, IoSpace space, uint64_t base, uint64_t size, const IoOps *ops,
		void *device);

/*
 * One access of the guest, as KVM reports it: any `size`, at any alignment (KVM
 * cuts at page ends, so 3 bytes do come). Nobody there: reads give all ones,
 * writes vanish, as on a PC. Takes the bus lock.
 */
void io_bus_access(IoBus *bus, IoSpace space, uint64_t address, bool is_write, void *data,
		   unsigned size);

void io_bus_lock(IoBus *bus);
void io_bus_unlock(IoBus *bus);

/* How a device reaches the interrupt controller: `gsi` is a pin of the I/O APIC. */
typedef struct IrqSink {
	void (*set)(void *owner, unsigned gsi, bool level);
	void *owner;
} IrqSink;

/* How the I/O APIC and PCI devices reach the LAPICs. */
typedef struct MsiSink {
	void (*send)(void *owner, uint64_t address, uint32_t data);
	void *owner;
} MsiSink;

#endif
