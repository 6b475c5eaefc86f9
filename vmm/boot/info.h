// SPDX-License-Identifier: MIT
/*
 * What the kernel is told at its entry: a PVH start info or a Linux zero page,
 * both at LAYOUT_BOOT_PARAMS.
 */
#ifndef UMBRA_BOOT_INFO_H
#define UMBRA_BOOT_INFO_H

#include "boot/memory_map.h"

#include <asm/bootparam.h>

typedef struct BootInfo {
	MemoryMap map;
	uint64_t cmdline; /* guest-physical addresses */
	uint64_t initrd;
	uint64_t initrd_size; /* 0: none */
	uint64_t rsdp;
} BootInfo;

/* Xen public/arch-x86/hvm/start_info.h, version 1: with a memory map. */
void pvh_write(const BootInfo *info, GuestMemory *memory);

/*
 * Documentation/arch/x86/zero-page.rst. `header` is the image's own setup
 * header, or NULL for a kernel that came without one.
 */
void boot_params_write(const BootInfo *info, const struct setup_header *header,
		       GuestMemory *memory);

#endif
