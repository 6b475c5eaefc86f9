// SPDX-License-Identifier: MIT
/*
 * Both boot protocols, read into one BootInfo, and the way from the RSDP to an
 * ACPI table. Written against the protocols' own documents and not the VMM's
 * headers, so that a mistake there is not repeated here: Xen's
 * public/arch-x86/hvm/start_info.h and Linux' Documentation/arch/x86/zero-page.rst.
 */
#include "rt.h"

#define PVH_MAGIC 0x336ec578

typedef struct PvhStartInfo {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, cmdline, rsdp, memory_map;
	uint32_t n_memory_map, reserved;
} PvhStartInfo;

typedef struct PvhModule {
	uint64_t address, size, cmdline, reserved;
} PvhModule;

typedef struct PvhMemory {
	uint64_t address, size;
	uint32_t type, reserved;
} PvhMemory;

typedef struct __attribute__((packed)) E820Entry {
	uint64_t address, size;
	uint32_t type;
} E820Entry;

void rt_read_boot_info(uint32_t kind, const void *info, BootInfo *ret_boot);

static void add_range(BootInfo *boot, uint64_t start, uint64_t size, uint32_t type)
{
	if (boot->n_ranges == RT_RANGES_MAX)
		wrong("more than %u memory ranges", (uint64_t)RT_RANGES_MAX);
	boot->ranges[boot->n_ranges++] = (MemoryRange){start, size, type};
}

static void read_pvh(const PvhStartInfo *info, BootInfo *boot)
{
	const PvhMemory *map = at(info->memory_map);
	const PvhModule *module = at(info->modules);

	if (info->magic != PVH_MAGIC || info->version < 1)
		wrong("start info has magic %x version %u", (uint64_t)info->magic,
		      (uint64_t)info->version);
	boot->via = "pvh";
	boot->cmdline = info->cmdline ? at(info->cmdline) : "";
	boot->rsdp = info->rsdp;
	if (info->n_modules) {
		boot->initrd = module->address;
		boot->initrd_size = module->size;
	}
	for (uint32_t i = 0; i < info->n_memory_map; i++)
		add_range(boot, map[i].address, map[i].size, map[i].type);
}

static uint32_t field32(const uint8_t *page, unsigned offset)
{
	uint32_t value;

	memcpy(&value, page + offset, sizeof(value));
	return value;
}

static void read_linux(const uint8_t *page, BootInfo *boot)
{
	E820Entry entry;
	uint64_t cmdline = field32(page, 0x228) | (uint64_t)field32(page, 0x0c8) << 32;

	if (field32(page, 0x202) != 0x53726448 /* "HdrS" */)
		wrong("boot_params have no setup header");
	boot->via = "linux";
	boot->cmdline = cmdline ? at(cmdline) : "";
	boot->rsdp = field32(page, 0x070) | (uint64_t)field32(page, 0x074) << 32;
	boot->initrd = field32(page, 0x218) | (uint64_t)field32(page, 0x0c0) << 32;
	boot->initrd_size = field32(page, 0x21c) | (uint64_t)field32(page, 0x0c4) << 32;
	for (unsigned i = 0; i < page[0x1e8]; i++) {
		memcpy(&entry, page + 0x2d0 + i * sizeof(entry), sizeof(entry));
		add_range(boot, entry.address, entry.size, entry.type);
	}
}

void rt_read_boot_info(uint32_t kind, const void *info, BootInfo *ret_boot)
{
	if (kind == BOOT_KIND_PVH)
		read_pvh(info, ret_boot);
	else
		read_linux(info, ret_boot);
}

bool acpi_sum_is_zero(const void *table, uint32_t length)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)table)[i]);
	return sum == 0;
}

const void *acpi_find(const BootInfo *boot, const char *signature)
{
	const uint8_t *rsdp = at(boot->rsdp);
	uint64_t address;

	if (!boot->rsdp || memcmp(rsdp, "RSD PTR ", 8) != 0)
		wrong("no RSDP at %x", boot->rsdp);
	if (!acpi_sum_is_zero(rsdp, 20) || rsdp[15] < 2 || !acpi_sum_is_zero(rsdp, 36))
		wrong("RSDP checksum or revision");
	memcpy(&address, rsdp + 24, sizeof(address));
	const uint8_t *xsdt = at(address);
	uint32_t length = field32(xsdt, 4);
	if (memcmp(xsdt, "XSDT", 4) != 0 || !acpi_sum_is_zero(xsdt, length))
		wrong("XSDT at %x is broken", address);
	for (uint32_t i = 36; i + 8 <= length; i += 8) {
		memcpy(&address, xsdt + i, sizeof(address));
		const uint8_t *table = at(address);
		if (memcmp(table, signature, 4) != 0)
			continue;
		if (!acpi_sum_is_zero(table, field32(table, 4)))
			wrong("checksum of ACPI table %s", signature);
		return table;
	}
	return NULL;
}
