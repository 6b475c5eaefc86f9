// SPDX-License-Identifier: MIT
/* The one word that a Linux guest needs on its command line and that nobody would guess. */
#ifndef UMBRA_BOOT_CMDLINE_H
#define UMBRA_BOOT_CMDLINE_H

/*
 * With a reduced-hardware FADT Linux wants to reboot by EFI, and where there is
 * none by the BIOS: it jumps to real mode, which under IBT is a missing ENDBR in
 * the kernel itself and a hang (arch/x86/kernel/reboot.c, efi_reboot_required()
 * and native_machine_emergency_restart()). So "reboot=acpi", the FADT's own reset
 * register, comes first, unless the user says how to reboot. Free with g_free.
 */
char *cmdline_for_linux(const char *cmdline);

#endif
