// SPDX-License-Identifier: MIT
/* ELF kernels: the parser, and the copy of whatever it let through. */
#include "base/layout.h"
#include "boot/elf.h"
#include "fuzz.h"

static bool inside(const ElfImage *image, uint64_t entry)
{
	for (unsigned i = 0; i < image->n_segments; i++)
		if (entry >= image->segments[i].gpa &&
		    entry < image->segments[i].gpa + image->segments[i].memsz)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GuestMemory) memory = NULL;
	BootFile file;
	ElfImage image;

	boot_file_init_bytes(&file, "fuzz", data, size, 0);
	if (!elf_is(&file) || !elf_parse(&file, &image, NULL))
		return 0;
	/* What elf.h promises of an image that was parsed. */
	g_assert_cmpuint(image.n_segments, >, 0);
	g_assert_true(inside(&image, image.has_pvh ? image.pvh_entry : image.entry));
	for (unsigned i = 0; i < image.n_segments; i++) {
		const ElfSegment *segment = &image.segments[i];

		g_assert_cmpuint(segment->filesz, <=, segment->memsz);
		g_assert_cmpuint(segment->filesz, <=, size);
		g_assert_cmpuint(segment->offset, <=, size - segment->filesz);
		g_assert_cmpuint(segment->gpa, >=, 0x100000);
		g_assert_cmpuint(segment->gpa + segment->memsz, >=, segment->gpa);
	}
	memory = guest_memory_create(64 * LAYOUT_MIB, NULL);
	elf_load(&image, &file, memory, NULL);
	return 0;
}
