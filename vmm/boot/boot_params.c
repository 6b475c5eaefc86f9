// SPDX-License-Identifier: MIT
#include "base/layout.h"
#include "boot/info.h"

#define LOADER_UNDEFINED 0xff /* type_of_loader without a registered number */
#define BOOT_FLAG	 0xaa55
#define HEADER_MAGIC	 0x53726448 /* "HdrS" */
#define VERSION_64	 0x20c

/* A kernel that came as ELF has no setup header; it believes one with these marks. */
static const struct setup_header plain_header = {
	.boot_flag = BOOT_FLAG,
	.header = HEADER_MAGIC,
	.version = VERSION_64,
	.kernel_alignment = 2 * LAYOUT_MIB,
};

void boot_params_write(const BootInfo *info, const struct setup_header *header, GuestMemory *memory)
{
	struct boot_params params = {
		.acpi_rsdp_addr = info->rsdp,
		.hdr = header ? *header : plain_header,
		.e820_entries = (uint8_t)info->map.n_entries,
	};

	params.hdr.type_of_loader = LOADER_UNDEFINED;
	params.hdr.loadflags |= LOADED_HIGH;
	/* Both are below 4 GiB: base/layout.h, place_initrd(). */
	params.hdr.cmd_line_ptr = (uint32_t)info->cmdline;
	params.hdr.ramdisk_image = (uint32_t)info->initrd;
	params.hdr.ramdisk_size = (uint32_t)info->initrd_size;
	for (unsigned i = 0; i < info->map.n_entries; i++)
		params.e820_table[i] = (struct boot_e820_entry){
			.addr = info->map.entries[i].start,
			.size = info->map.entries[i].size,
			.type = info->map.entries[i].type,
		};
	guest_memory_write(memory, LAYOUT_BOOT_PARAMS, &params, sizeof(params));
}
