// SPDX-License-Identifier: MIT
/*
 * ELF64 kernels: what to load where, and where to enter (System V gABI, chapter
 * 5; the PVH entry is Xen's ELF note 18, xen/include/public/elfnote.h).
 */
#ifndef UMBRA_BOOT_ELF_H
#define UMBRA_BOOT_ELF_H

#include "boot/file.h"

#define ELF_SEGMENTS_MAX 32

typedef struct ElfSegment {
	uint64_t offset; /* in the file */
	uint64_t filesz;
	uint64_t gpa;	/* p_paddr */
	uint64_t memsz; /* at least filesz; what is beyond it is zero */
} ElfSegment;

/*
 * After elf_parse(): segments lie in the file, above the first MiB, end without
 * wrapping, and do not overlap; the entries lie inside segments.
 */
typedef struct ElfImage {
	ElfSegment segments[ELF_SEGMENTS_MAX];
	unsigned n_segments;
	uint64_t entry;
	bool has_pvh;
	uint32_t pvh_entry;
	bool is_linux; /* it has a note of that name: every kernel's build salt is one */
} ElfImage;

bool elf_is(const BootFile *file);

/* UMBRA_ERROR_INPUT: not a kernel for x86-64, or broken. */
bool elf_parse(const BootFile *file, ElfImage *ret_image, GError **error);

/* Copies the segments. UMBRA_ERROR_USAGE: memory is too small, with the size that would do. */
bool elf_load(const ElfImage *image, const BootFile *file, GuestMemory *memory, GError **error);

#endif
