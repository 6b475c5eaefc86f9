// SPDX-License-Identifier: MIT
#include "boot/boot.h"

#include "base/error.h"
#include "base/layout.h"
#include "boot/bzimage.h"
#include "boot/cache.h"
#include "boot/cmdline.h"
#include "boot/elf.h"
#include "boot/entry.h"
#include "boot/info.h"
#include "boot/place.h"
#include "boot/unpack.h"

#include <inttypes.h>
#include <string.h>

/* What is known once the kernel is in memory. */
typedef struct Kernel {
	Place place;		    /* what it occupies */
	struct setup_header header; /* of a bzImage */
	bool has_header;
	bool is_linux;
	uint64_t initrd_limit; /* first address that an initrd must not reach */
	uint64_t cmdline_max;  /* characters, without the terminator */
	BootEntry entry;
} Kernel;

static bool enter_elf(const ElfImage *image, const BootFile *file, Kernel *kernel, GError **error)
{
	for (unsigned i = 0; i < image->n_segments; i++)
		place_take(&kernel->place, image->segments[i].gpa, image->segments[i].memsz);
	if (image->has_pvh) {
		kernel->entry.mode = BOOT_MODE_PVH;
		kernel->entry.rip = image->pvh_entry;
		return true;
	}
	if (image->entry >= ENTRY_MAPPED)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s': its entry 0x%" PRIx64 " is above 4 GiB", file->path,
				  image->entry);
	kernel->entry.mode = BOOT_MODE_LONG;
	kernel->entry.rip = image->entry;
	return true;
}

static bool load_elf(const BootFile *file, GuestMemory *memory, Kernel *kernel, GError **error)
{
	ElfImage image;

	if (!elf_parse(file, &image, error) || !enter_elf(&image, file, kernel, error) ||
	    !elf_load(&image, file, memory, error))
		return false;
	kernel->is_linux = kernel->is_linux || image.is_linux;
	kernel->entry.via = image.has_pvh ? "ELF, PVH entry" : "ELF, 64-bit entry";
	return true;
}

static bool load_unpacked(const BzImage *image, Packing packing, const BootFile *file,
			  GuestMemory *memory, Kernel *kernel, GError **error)
{
	g_auto(BootFile) unpacked = BOOT_FILE_NONE;
	bool cached = cache_find(file, &unpacked);

	if (!cached &&
	    !unpack(file, packing, image->payload_offset, image->payload_size, &unpacked, error))
		return false;
	if (!load_elf(&unpacked, memory, kernel, error))
		return false;
	/* Only what proved to be a kernel is worth keeping. */
	if (!cached)
		cache_store(file, &unpacked);
	kernel->entry.via = cached ? "bzImage, unpacked before" : "bzImage, unpacked by umbra";
	return true;
}

static bool load_bzimage(const BootFile *file, GuestMemory *memory, Kernel *kernel, GError **error)
{
	Packing packing = PACKING_UNKNOWN;
	BzImage image;

	if (!bzimage_parse(file, &image, error))
		return false;
	kernel->header = image.header;
	kernel->has_header = true;
	kernel->is_linux = true;
	kernel->initrd_limit = (uint64_t)image.header.initrd_addr_max + 1;
	kernel->cmdline_max = MIN(image.header.cmdline_size, LAYOUT_CMDLINE_MAX - 1);
	if (image.payload_size > 0)
		packing = unpack_packing(file, image.payload_offset);
	if (packing != PACKING_UNKNOWN)
		return load_unpacked(&image, packing, file, memory, kernel, error);
	kernel->entry = (BootEntry){
		.mode = BOOT_MODE_LONG,
		.rip = image.header.pref_address + BZIMAGE_ENTRY_64,
		.via = "bzImage, which unpacks itself",
	};
	place_take(&kernel->place, image.header.pref_address,
		   MAX(image.header.init_size, image.kernel_size));
	return bzimage_load(&image, file, memory, error);
}

static bool load_kernel(const char *path, GuestMemory *memory, Kernel *kernel, GError **error)
{
	g_auto(BootFile) file = BOOT_FILE_NONE;

	if (!boot_file_open(&file, "kernel", path, error))
		return false;
	if (elf_is(&file))
		return load_elf(&file, memory, kernel, error);
	if (bzimage_is(&file))
		return load_bzimage(&file, memory, kernel, error);
	return umbra_fail(error, UMBRA_ERROR_INPUT,
			  "kernel '%s' is neither a bzImage nor an ELF file", path);
}

static bool load_initrd(const char *path, const Kernel *kernel, GuestMemory *memory, BootInfo *info,
			GError **error)
{
	g_auto(BootFile) file = BOOT_FILE_NONE;

	if (!boot_file_open(&file, "initrd", path, error) ||
	    !place_initrd(&kernel->place, memory, path, file.size, kernel->initrd_limit,
			  &info->initrd, error))
		return false;
	info->initrd_size = file.size;
	return boot_file_load(&file, 0, file.size, memory, info->initrd, error);
}

static bool write_cmdline(const char *asked, const Kernel *kernel, GuestMemory *memory,
			  GError **error)
{
	g_autofree char *cmdline = kernel->is_linux ? cmdline_for_linux(asked) : g_strdup(asked);
	size_t length = strlen(cmdline);

	if (length > kernel->cmdline_max)
		return umbra_fail(
			error, UMBRA_ERROR_USAGE,
			"the command line has %zu characters%s; this kernel takes at most "
			"%" PRIu64,
			length, length > strlen(asked) ? " with umbra's reboot=acpi" : "",
			kernel->cmdline_max);
	return guest_memory_write(memory, LAYOUT_CMDLINE, cmdline, length + 1);
}

bool boot_load(const BootSource *source, GuestMemory *memory, BootEntry *ret_entry, GError **error)
{
	BootInfo info = {.cmdline = LAYOUT_CMDLINE, .rsdp = source->rsdp};
	Kernel kernel = {
		.initrd_limit = LAYOUT_HOLE_START,
		.cmdline_max = LAYOUT_CMDLINE_MAX - 1,
	};

	if (!load_kernel(source->kernel, memory, &kernel, error) ||
	    !write_cmdline(source->cmdline, &kernel, memory, error))
		return false;
	if (source->initrd && !load_initrd(source->initrd, &kernel, memory, &info, error))
		return false;
	memory_map_init(&info.map, memory);
	if (kernel.entry.mode == BOOT_MODE_PVH)
		pvh_write(&info, memory);
	else
		boot_params_write(&info, kernel.has_header ? &kernel.header : NULL, memory);
	entry_write_tables(kernel.entry.mode, memory);
	kernel.entry.info = LAYOUT_BOOT_PARAMS;
	*ret_entry = kernel.entry;
	return true;
}
