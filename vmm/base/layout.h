// SPDX-License-Identifier: MIT
/*
 * Where things are in the guest: the one list of physical addresses, ports and
 * interrupt numbers. ACPI tables, boot code, buses and devices all read it.
 *
 *   0            ..  RAM up to 3 GiB (or less)
 *   0x000e0000   ..  RSDP and ACPI tables, inside RAM, reserved in the memory map
 *   0xc0000000   ..  hole: MMIO up to 4 GiB
 *   0x100000000  ..  the rest of RAM
 */
#ifndef UMBRA_BASE_LAYOUT_H
#define UMBRA_BASE_LAYOUT_H

#define LAYOUT_KIB (1UL << 10)
#define LAYOUT_MIB (1UL << 20)
#define LAYOUT_GIB (1UL << 30)

/*
 * RAM that a guest may have. KVM takes slots of less than 8 TiB (Linux, KVM_MEM_MAX_NR_PAGES);
 * the CPU's physical address width may set a lower limit.
 */
#define LAYOUT_RAM_MIN	  (64 * LAYOUT_MIB)
#define LAYOUT_RAM_MAX	  (4 * 1024 * LAYOUT_GIB)
#define LAYOUT_HOLE_START 0xc0000000UL
#define LAYOUT_HOLE_END	  0x100000000UL

/* The first MiB. Everything that umbra itself puts into the guest before it starts is here. */
#define LAYOUT_GDT	   0x500UL
#define LAYOUT_BOOT_PARAMS 0x7000UL /* Linux zero page, or PVH start info */
#define LAYOUT_PAGE_TABLES 0x9000UL /* identity map for 64-bit entry */
#define LAYOUT_CMDLINE	   0x20000UL
#define LAYOUT_CMDLINE_MAX (64 * LAYOUT_KIB)
#define LAYOUT_EBDA	   0x9fc00UL /* end of usable low RAM */
#define LAYOUT_ACPI	   0xe0000UL /* RSDP first: found by a scan as well */
#define LAYOUT_ACPI_MAX	   (128 * LAYOUT_KIB)
#define LAYOUT_HIGH_RAM	   0x100000UL

/* MMIO */
#define LAYOUT_IOAPIC	    0xfec00000UL
#define LAYOUT_IOAPIC_SIZE  0x1000UL
#define LAYOUT_IOAPIC_PINS  24
#define LAYOUT_LAPIC	    0xfee00000UL
#define LAYOUT_IDENTITY_MAP 0xfeffc000UL /* one page for KVM's real-mode emulation */
#define LAYOUT_TSS	    0xfeffd000UL /* three pages, likewise */

/* Ports */
#define LAYOUT_COM1		0x3f8
#define LAYOUT_COM1_SIZE	8
#define LAYOUT_ACPI_SLEEP	0x600 /* ACPI sleep control (and status) of a reduced-hardware FADT */
#define LAYOUT_ACPI_RESET	0x604 /* ACPI reset register */
#define LAYOUT_ACPI_RESET_VALUE 1
#define LAYOUT_ACPI_EVENT	0x608 /* generic event device: which event, cleared by reading */
#define LAYOUT_SLEEP_TYPE_S5	5

/* Events in LAYOUT_ACPI_EVENT */
#define LAYOUT_EVENT_POWER_BUTTON 1

/* Global system interrupts */
#define LAYOUT_GSI_COM1	      4
#define LAYOUT_GSI_ACPI_EVENT 9

/* vCPUs: APIC ids are 0 … n-1 and must stay below the xAPIC broadcast id. */
#define LAYOUT_CPUS_MAX 254

#endif
