// SPDX-License-Identifier: MIT
/*
 * Guest memory: the one place that turns a guest-physical address into bytes.
 *
 * RAM is one anonymous mapping, laid out in at most two regions around the MMIO
 * hole (base/layout.h). Memory costs nothing before somebody touches it, and
 * then it comes in huge pages where the host has them. A memfd would not: shared
 * memory gets none by default, and each 4 KiB page that a guest touches first is
 * then a VM exit, some 18,000 of them for the boot of a stock kernel.
 */
#ifndef UMBRA_MEM_GUEST_MEMORY_H
#define UMBRA_MEM_GUEST_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MemoryRegion {
	uint64_t gpa;	 /* first guest-physical address */
	uint64_t size;	 /* bytes, a multiple of 4 KiB */
	uint8_t *host;	 /* where umbra sees it */
	uint64_t offset; /* its place where all regions lie one behind the other */
} MemoryRegion;

typedef struct GuestMemory {
	MemoryRegion regions[2];
	unsigned n_regions;
	uint64_t size;	/* bytes of RAM in all regions */
	uint8_t *base;	/* all regions in order, one behind the other */
	bool from_file; /* its data are mapped from a file: what nobody touched may not be zero */
	int file;	/* that file, a descriptor of our own; -1 */
	uint64_t file_offset;
} GuestMemory;

/*
 * `size` in bytes: LAYOUT_RAM_MIN to LAYOUT_RAM_MAX, a multiple of 4 KiB, else
 * UMBRA_ERROR_USAGE. Memory is reserved, not allocated.
 */
GuestMemory *guest_memory_create(uint64_t size, GError **error);
/*
 * The same with what is in a file from `offset` on, a multiple of 4 KiB: read when it is
 * touched, and what is written stays here; holes are memory like any other, whatever is
 * written to the file meanwhile. A wrong size is UMBRA_ERROR_INPUT. The file must be as long as
 * that; one that is cut short meanwhile kills who touches what it had.
 */
GuestMemory *guest_memory_create_from_file(uint64_t size, int fd, uint64_t offset, GError **error);
void guest_memory_destroy(GuestMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestMemory, guest_memory_destroy)

/* The bytes [gpa, gpa + length) if all of them are RAM of one region, else NULL. Never overflows.
 */
void *guest_memory_at(const GuestMemory *memory, uint64_t gpa, uint64_t length);

/* Copies out or in; false if any byte is not RAM, and then nothing was copied. */
bool guest_memory_read(const GuestMemory *memory, uint64_t gpa, void *to, uint64_t length);
bool guest_memory_write(GuestMemory *memory, uint64_t gpa, const void *from, uint64_t length);

#endif
