// SPDX-License-Identifier: MIT
/*
 * Images made by hand for the boot tests. Offsets and numbers are written out
 * from the specifications, not taken from headers that the code uses as well.
 */
#ifndef UMBRA_TESTS_BOOT_IMAGES_H
#define UMBRA_TESTS_BOOT_IMAGES_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

static inline void put(void *image, size_t at, size_t width, uint64_t value)
{
	uint8_t *bytes = image;

	for (size_t i = 0; i < width; i++)
		bytes[at + i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t get(const void *image, size_t at, size_t width)
{
	const uint8_t *bytes = image;
	uint64_t value = 0;

	for (size_t i = 0; i < width; i++)
		value |= (uint64_t)bytes[at + i] << (8 * i);
	return value;
}

/*
 * A kernel of two segments with a PVH note:
 *   file 0x1000, 0x800 bytes of 0x11  -> 16 MiB, 0x1000 in memory
 *   file 0x2000, 0x1000 bytes of 0x22 -> 18 MiB, 0x3000 in memory
 *   notes at 0x1100: "Linux" 0x101, then "Xen" 18 with 0x1000010 in eight bytes
 * The 64-bit entry is 0x1000020.
 */
#define ELF_SIZE     0x3000
#define ELF_HEADER   0
#define ELF_PROGRAM0 64
#define ELF_PROGRAM1 120
#define ELF_PROGRAM2 176
#define ELF_NOTES    0x1100
#define ELF_XEN_NOTE (ELF_NOTES + 24)

static inline void put_program(uint8_t *image, size_t at, uint32_t type, uint64_t offset,
			       uint64_t gpa, uint64_t filesz, uint64_t memsz)
{
	put(image, at, 4, type);
	put(image, at + 8, 8, offset);
	put(image, at + 16, 8, 0xffffffff80000000 + gpa);
	put(image, at + 24, 8, gpa);
	put(image, at + 32, 8, filesz);
	put(image, at + 40, 8, memsz);
}

static inline void make_elf(uint8_t image[ELF_SIZE])
{
	static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little */, 1};

	memset(image, 0, ELF_SIZE);
	memset(image + 0x1000, 0x11, 0x800);
	memset(image + 0x2000, 0x22, 0x1000);
	memcpy(image, ident, sizeof(ident));
	put(image, 16, 2, 2);  /* executable */
	put(image, 18, 2, 62); /* x86-64 */
	put(image, 20, 4, 1);
	put(image, 24, 8, 0x1000020); /* entry */
	put(image, 32, 8, 64);	      /* program headers at */
	put(image, 52, 2, 64);
	put(image, 54, 2, 56); /* size of one */
	put(image, 56, 2, 3);  /* how many */
	put_program(image, ELF_PROGRAM0, 1, 0x1000, 0x1000000, 0x800, 0x1000);
	put_program(image, ELF_PROGRAM1, 1, 0x2000, 0x1200000, 0x1000, 0x3000);
	put_program(image, ELF_PROGRAM2, 4, ELF_NOTES, 0, 48, 48);
	memset(image + ELF_NOTES, 0, 48);
	put(image, ELF_NOTES, 4, 6);
	put(image, ELF_NOTES + 4, 4, 4);
	put(image, ELF_NOTES + 8, 4, 0x101);
	memcpy(image + ELF_NOTES + 12, "Linux", 6);
	put(image, ELF_XEN_NOTE, 4, 4);
	put(image, ELF_XEN_NOTE + 4, 4, 8);
	put(image, ELF_XEN_NOTE + 8, 4, 18);
	memcpy(image + ELF_XEN_NOTE + 12, "Xen", 4);
	put(image, ELF_XEN_NOTE + 16, 8, 0x1000010);
}

/*
 * A bzImage of four setup sectors around `payload`, which starts 0x300 bytes
 * into the protected-mode part. The caller frees it.
 */
#define BZ_KERNEL  (5 * 512)
#define BZ_PAYLOAD (BZ_KERNEL + 0x300)

static inline uint8_t *make_bzimage(const void *payload, size_t size, size_t *ret_size)
{
	size_t kernel = (0x300 + size + 15) / 16 * 16;
	uint8_t *image = g_malloc0(BZ_KERNEL + kernel);

	memset(image + BZ_KERNEL, 0x33, 0x300);
	memcpy(image + BZ_PAYLOAD, payload, size);
	put(image, 0x1f1, 1, 4);	   /* setup sectors */
	put(image, 0x1f4, 4, kernel / 16); /* syssize */
	put(image, 0x1fe, 2, 0xaa55);
	put(image, 0x201, 1, 0x6a); /* header ends at 0x26c */
	memcpy(image + 0x202, "HdrS", 4);
	put(image, 0x206, 2, 0x20f); /* protocol 2.15 */
	put(image, 0x211, 1, 1);     /* loaded high */
	put(image, 0x22c, 4, 0x7fffffff);
	put(image, 0x230, 4, 0x200000);
	put(image, 0x234, 1, 1);
	put(image, 0x236, 2, 1);    /* 64-bit entry */
	put(image, 0x238, 4, 2047); /* command line */
	put(image, 0x248, 4, 0x300);
	put(image, 0x24c, 4, size);
	put(image, 0x258, 8, 0x1000000);
	put(image, 0x260, 4, 0x800000);
	*ret_size = BZ_KERNEL + kernel;
	return image;
}

#endif
