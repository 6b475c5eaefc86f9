// SPDX-License-Identifier: MIT
/*
 * Boot: a kernel file, an initrd and a command line become bytes in guest
 * memory and an entry state for the first vCPU.
 *
 * Three ways in, chosen by what the file is:
 *  - ELF64 with a PVH note (Xen ELF note 18): 32-bit protected mode, start info
 *    in EBX (Xen public/arch-x86/hvm/start_info.h);
 *  - ELF64 without: 64-bit mode at e_entry, boot_params in RSI;
 *  - bzImage: its payload is unpacked on the host and entered as ELF; where
 *    that cannot be (another compression), the image's own 64-bit entry at
 *    load address + 0x200 (Documentation/arch/x86/boot.rst).
 */
#ifndef UMBRA_BOOT_BOOT_H
#define UMBRA_BOOT_BOOT_H

#include "mem/guest_memory.h"

#include <linux/kvm.h>

typedef struct BootSource {
	const char *kernel;  /* path */
	const char *initrd;  /* path or NULL */
	const char *cmdline; /* "" for none */
	uint64_t rsdp;	     /* guest-physical address of the ACPI root pointer */
} BootSource;

typedef enum BootMode { BOOT_MODE_PVH, BOOT_MODE_LONG } BootMode;

typedef struct BootEntry {
	BootMode mode;
	uint64_t rip;
	uint64_t info;	 /* PVH: EBX; long mode: RSI */
	const char *via; /* how it was loaded, for people: "ELF, PVH entry" … */
} BootEntry;

/*
 * Loads everything into `memory`. Errors: UMBRA_ERROR_FAILED (a file cannot be
 * read), UMBRA_ERROR_INPUT (a file is not a kernel for this machine, or is
 * broken), UMBRA_ERROR_USAGE (something does not fit: the command line, the
 * initrd, the kernel).
 */
bool boot_load(const BootSource *source, GuestMemory *memory, BootEntry *ret_entry, GError **error);

/*
 * The registers with which the first vCPU starts. `sregs` holds what KVM gave
 * for a fresh vCPU: only what the entry mode prescribes is changed.
 */
void boot_entry_state(const BootEntry *entry, struct kvm_regs *ret_regs, struct kvm_sregs *sregs);

#endif
