// SPDX-License-Identifier: MIT
/*
 * bzImage: setup header, compressed payload, 64-bit entry
 * (Linux, Documentation/arch/x86/boot.rst).
 */
#ifndef UMBRA_BOOT_BZIMAGE_H
#define UMBRA_BOOT_BZIMAGE_H

#include "boot/file.h"

#include <asm/bootparam.h>

#define BZIMAGE_HEADER	 0x1f1 /* struct setup_header, in the file and in the zero page */
#define BZIMAGE_ENTRY_64 0x200 /* behind the load address */

/* After bzimage_parse(): all ranges lie in the file, the load address can be used as it is. */
typedef struct BzImage {
	struct setup_header header;
	uint64_t kernel_offset; /* the protected-mode part in the file */
	uint64_t kernel_size;
	uint64_t
		payload_offset; /* compressed kernel in the file; its size comes last, in 4 bytes */
	uint64_t payload_size;	/* 0 if the image does not say */
} BzImage;

bool bzimage_is(const BootFile *file);

/* UMBRA_ERROR_INPUT: truncated, broken, or without a 64-bit entry. */
bool bzimage_parse(const BootFile *file, BzImage *ret_image, GError **error);

/* Copies the protected-mode part for its 64-bit entry, header.pref_address + BZIMAGE_ENTRY_64. */
bool bzimage_load(const BzImage *image, const BootFile *file, GuestMemory *memory, GError **error);

#endif
