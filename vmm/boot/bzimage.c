// SPDX-License-Identifier: MIT
#include "boot/bzimage.h"

#include "base/error.h"
#include "base/layout.h"
#include "boot/place.h"

#include <inttypes.h>

#define SECTOR	    512
#define MAGIC_AT    0x202
#define MAGIC	    0x53726448 /* "HdrS" */
#define VERSION_64  0x20c      /* the first with xloadflags */
#define SETUP_FIXED 4	       /* setup_sects 0 means 4 */

static bool broken(const BootFile *file, GError **error, const char *why)
{
	return umbra_fail(error, UMBRA_ERROR_INPUT, "kernel '%s': %s", file->path, why);
}

bool bzimage_is(const BootFile *file)
{
	uint32_t magic;

	return boot_file_read(file, MAGIC_AT, &magic, sizeof(magic), NULL) && magic == MAGIC;
}

static bool check_header(const BootFile *file, const struct setup_header *header, GError **error)
{
	if (header->boot_flag != 0xaa55)
		return broken(file, error, "broken bzImage: no boot signature");
	if (header->version < VERSION_64)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s': boot protocol %u.%02u is too old: 2.12 or newer is "
				  "needed (Linux 3.8)",
				  file->path, header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LOADED_HIGH))
		return broken(file, error, "a zImage: a bzImage is needed");
	if (!(header->xloadflags & XLF_KERNEL_64))
		return broken(file, error,
			      "a bzImage without 64-bit entry: a 64-bit kernel is needed");
	if (header->pref_address < LAYOUT_HIGH_RAM || header->pref_address > UINT32_MAX ||
	    header->pref_address % 4096 != 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s': broken bzImage: it prefers address 0x%" PRIx64,
				  file->path, (uint64_t)header->pref_address);
	return true;
}

/* payload_offset counts from the protected-mode part. */
static bool find_payload(const BootFile *file, BzImage *image, GError **error)
{
	uint64_t offset = image->header.payload_offset;
	uint64_t size = image->header.payload_length;

	image->payload_size = 0;
	if (offset == 0 || size == 0)
		return true;
	if (offset > image->kernel_size || size > image->kernel_size - offset)
		return broken(file, error, "broken bzImage: its payload is outside the image");
	image->payload_offset = image->kernel_offset + offset;
	image->payload_size = size;
	return true;
}

bool bzimage_parse(const BootFile *file, BzImage *ret_image, GError **error)
{
	BzImage image = {0};
	unsigned sectors;

	if (!boot_file_holds(file, BZIMAGE_HEADER, sizeof(image.header)))
		return broken(file, error, "a truncated bzImage");
	if (!boot_file_read(file, BZIMAGE_HEADER, &image.header, sizeof(image.header), error) ||
	    !check_header(file, &image.header, error))
		return false;
	sectors = image.header.setup_sects ? image.header.setup_sects : SETUP_FIXED;
	image.kernel_offset = (sectors + 1) * SECTOR;
	image.kernel_size = (uint64_t)image.header.syssize * 16;
	if (image.kernel_size <= BZIMAGE_ENTRY_64)
		return broken(file, error, "broken bzImage: nothing behind its setup part");
	/* syssize counts 16-byte units, and the last one need not be full. */
	if (!boot_file_holds(file, image.kernel_offset, image.kernel_size - 15))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s' is truncated: it has %" PRIu64
				  " bytes, and its header says %" PRIu64,
				  file->path, file->size, image.kernel_offset + image.kernel_size);
	image.kernel_size = MIN(image.kernel_size, file->size - image.kernel_offset);
	if (!find_payload(file, &image, error))
		return false;
	*ret_image = image;
	return true;
}

bool bzimage_load(const BzImage *image, const BootFile *file, GuestMemory *memory, GError **error)
{
	uint64_t at = image->header.pref_address;
	uint64_t used = MAX(image->header.init_size, image->kernel_size);

	return place_check(memory, file->path, at, used, error) &&
	       boot_file_load(file, image->kernel_offset, image->kernel_size, memory, at, error);
}
