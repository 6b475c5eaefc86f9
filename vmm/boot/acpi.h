// SPDX-License-Identifier: MIT
/*
 * ACPI tables of a reduced-hardware machine: RSDP, XSDT, FADT, MADT and the
 * DSDT that iasl compiled at build time. The FADT says what is absent (VGA,
 * i8042, CMOS RTC, PIC, PIT), so that a guest does not wait for it.
 */
#ifndef UMBRA_BOOT_ACPI_H
#define UMBRA_BOOT_ACPI_H

#include "mem/guest_memory.h"

/* Writes the tables at LAYOUT_ACPI for `cpus` processors (APIC ids 0 … cpus-1). */
bool acpi_build(GuestMemory *memory, unsigned cpus, uint64_t *ret_rsdp, GError **error);

#endif
