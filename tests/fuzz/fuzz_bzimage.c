// SPDX-License-Identifier: MIT
/* bzImages: setup header, payload in both compressions, and the kernel inside. */
#include "base/layout.h"
#include "boot/bzimage.h"
#include "boot/elf.h"
#include "boot/unpack.h"
#include "fuzz.h"

#include <string.h>

/* A payload may claim, and be, a gigabyte: that is checked elsewhere and would be slow here. */
#define CLAIM_MAX (4 * LAYOUT_MIB)

static void unpack_payload(const BootFile *file, const BzImage *image, Packing packing)
{
	g_auto(BootFile) unpacked = BOOT_FILE_NONE;
	uint32_t claim = 0;
	ElfImage elf;

	if (image->payload_size >= 4)
		memcpy(&claim, file->bytes + image->payload_offset + image->payload_size - 4, 4);
	if (claim > CLAIM_MAX ||
	    !unpack(file, packing, image->payload_offset, image->payload_size, &unpacked, NULL))
		return;
	g_assert_cmpuint(unpacked.size, ==, claim);
	elf_parse(&unpacked, &elf, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GuestMemory) memory = NULL;
	Packing packing = PACKING_UNKNOWN;
	BootFile file;
	BzImage image;

	boot_file_init_bytes(&file, "fuzz", data, size, 0);
	if (!bzimage_is(&file) || !bzimage_parse(&file, &image, NULL))
		return 0;
	/* What bzimage.h promises of an image that was parsed. */
	g_assert_cmpuint(image.kernel_offset, <=, size);
	g_assert_cmpuint(image.kernel_size, <=, size - image.kernel_offset);
	if (image.payload_size > 0) {
		g_assert_cmpuint(image.payload_offset, >=, image.kernel_offset);
		g_assert_cmpuint(image.payload_offset, <=, size);
		g_assert_cmpuint(image.payload_size, <=, size - image.payload_offset);
		packing = unpack_packing(&file, image.payload_offset);
	}
	if (packing != PACKING_UNKNOWN)
		unpack_payload(&file, &image, packing);
	memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	bzimage_load(&image, &file, memory, NULL);
	return 0;
}
