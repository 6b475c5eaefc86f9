// SPDX-License-Identifier: MIT
/*
 * What a guest is told at its start: command line, initrd, ACPI. The FADT must
 * say the same of power-off and reset as umbra/test_abi.h.
 */
#include "rt.h"

const char guest_name[] = "info";

/* FADT, ACPI 6.4 table 5.9: generic addresses are space, width, offset, access size, address. */
#define FADT_FLAGS	   112
#define FADT_RESET	   116
#define FADT_RESET_VALUE   128
#define FADT_SLEEP_CONTROL 244
#define FLAG_RESET	   (1u << 10)
#define FLAG_HW_REDUCED	   (1u << 20)

static uint64_t port_of(const uint8_t *fadt, unsigned offset)
{
	uint64_t address;

	memcpy(&address, fadt + offset + 4, sizeof(address));
	if (fadt[offset] != 1)
		wrong("FADT offset %u is not in port space", (uint64_t)offset);
	return address;
}

static void show_initrd(const BootInfo *boot)
{
	uint64_t sum = 0;
	const uint8_t *bytes = at(boot->initrd);

	for (uint64_t i = 0; i < boot->initrd_size; i++)
		sum = sum * 31 + bytes[i];
	say("initrd size %u sum %x", boot->initrd_size, sum);
	for (unsigned i = 0; boot->initrd_size && i < boot->n_ranges; i++) {
		const MemoryRange *range = &boot->ranges[i];
		if (range->type == 1 && boot->initrd >= range->start &&
		    boot->initrd + boot->initrd_size <= range->start + range->size)
			return;
	}
	if (boot->initrd_size)
		wrong("initrd at %x is not in one range of RAM", boot->initrd);
}

void guest_main(const BootInfo *boot)
{
	const uint8_t *fadt = acpi_find(boot, "FACP");
	uint32_t flags;

	say("via %s", boot->via);
	say("cmdline [%s]", boot->cmdline);
	show_initrd(boot);
	if (!fadt)
		wrong("no FADT");
	memcpy(&flags, fadt + FADT_FLAGS, sizeof(flags));
	if (!(flags & FLAG_RESET) || !(flags & FLAG_HW_REDUCED))
		wrong("FADT flags %x", (uint64_t)flags);
	if (port_of(fadt, FADT_RESET) != UMBRA_TEST_RESET_PORT ||
	    fadt[FADT_RESET_VALUE] != UMBRA_TEST_RESET_VALUE)
		wrong("FADT: reset is elsewhere");
	if (port_of(fadt, FADT_SLEEP_CONTROL) != UMBRA_TEST_SLEEP_PORT)
		wrong("FADT: sleep control is elsewhere");
	say("acpi ok");
}
