// SPDX-License-Identifier: MIT
#include "boot/elf.h"

#include "base/error.h"
#include "base/layout.h"
#include "boot/place.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#define PVH_NOTE_TYPE 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define NOTES_MAX     (64 * LAYOUT_KIB)

/* Kernels have three to ten; a bound keeps a made-up file from keeping us busy. */
#define PROGRAM_HEADERS_MAX 128

static bool broken(const BootFile *file, GError **error, const char *why)
{
	return umbra_fail(error, UMBRA_ERROR_INPUT, "kernel '%s': %s", file->path, why);
}

bool elf_is(const BootFile *file)
{
	char magic[SELFMAG];

	return boot_file_read(file, 0, magic, SELFMAG, NULL) && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static bool check_header(const BootFile *file, const Elf64_Ehdr *header, GError **error)
{
	if (header->e_ident[EI_CLASS] == ELFCLASS32)
		return broken(file, error, "a 32-bit ELF: a 64-bit kernel is needed");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
		return broken(file, error, "not a 64-bit little-endian ELF");
	if (header->e_machine != EM_X86_64)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s': an ELF for another machine (type %u; x86-64 is %u)",
				  file->path, header->e_machine, EM_X86_64);
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return broken(file, error, "an ELF that is not linked (object or core file)");
	if (header->e_phentsize != sizeof(Elf64_Phdr))
		return broken(file, error, "broken ELF: program headers of an unknown size");
	if (header->e_phnum == 0 || header->e_phnum > PROGRAM_HEADERS_MAX)
		return broken(file, error, "an ELF without program headers, or with too many");
	return true;
}

/*
 * One note of a note segment: namesz, descsz, type; then the name and the
 * description, each padded to four bytes. Returns the next note's offset in
 * `notes`, or 0 if this one does not end inside.
 */
static size_t next_note(const uint8_t *notes, size_t size, size_t at, Elf64_Nhdr *ret_header,
			size_t *ret_name, size_t *ret_desc)
{
	uint64_t name, desc, end;

	if (size - at < sizeof(*ret_header))
		return 0;
	memcpy(ret_header, notes + at, sizeof(*ret_header));
	name = at + sizeof(*ret_header);
	desc = name + (((uint64_t)ret_header->n_namesz + 3) & ~UINT64_C(3));
	end = desc + (((uint64_t)ret_header->n_descsz + 3) & ~UINT64_C(3));
	if (desc + ret_header->n_descsz > size)
		return 0;
	*ret_name = name;
	*ret_desc = desc;
	return MIN(end, size);
}

/* The entry is a 32-bit address; Linux stores it in four bytes or, on 64-bit, in eight. */
static bool take_pvh_entry(const uint8_t *desc, size_t size, ElfImage *image)
{
	uint64_t entry = 0;

	if (size != 4 && size != 8)
		return false;
	memcpy(&entry, desc, size);
	if (entry > UINT32_MAX)
		return false;
	image->has_pvh = true;
	image->pvh_entry = (uint32_t)entry;
	return true;
}

static bool parse_notes(const BootFile *file, const Elf64_Phdr *header, ElfImage *image,
			GError **error)
{
	size_t size = header->p_filesz, at = 0;

	if (size > NOTES_MAX || !boot_file_holds(file, header->p_offset, size))
		return broken(file, error, "broken ELF: a note segment is not in the file");
	g_autofree uint8_t *notes = g_malloc(size);

	if (!boot_file_read(file, header->p_offset, notes, size, error))
		return false;
	while (at < size) {
		Elf64_Nhdr note;
		size_t name, desc;

		at = next_note(notes, size, at, &note, &name, &desc);
		if (at == 0)
			return broken(file, error,
				      "broken ELF: a note does not end in its segment");
		if (note.n_namesz == sizeof("Linux") &&
		    memcmp(notes + name, "Linux", sizeof("Linux")) == 0)
			image->is_linux = true;
		if (note.n_type != PVH_NOTE_TYPE || note.n_namesz != sizeof("Xen") ||
		    memcmp(notes + name, "Xen", sizeof("Xen")) != 0)
			continue;
		if (!take_pvh_entry(notes + desc, note.n_descsz, image))
			return broken(file, error,
				      "broken ELF: its PVH entry is no 32-bit address");
	}
	return true;
}

static bool add_segment(const BootFile *file, const Elf64_Phdr *header, ElfImage *image,
			GError **error)
{
	ElfSegment segment = {
		.offset = header->p_offset,
		.filesz = header->p_filesz,
		.gpa = header->p_paddr,
		.memsz = header->p_memsz,
	};
	uint64_t end;

	if (segment.memsz == 0 && segment.filesz == 0)
		return true;
	if (image->n_segments == ELF_SEGMENTS_MAX)
		return broken(file, error, "an ELF with more than 32 segments");
	if (segment.filesz > segment.memsz)
		return broken(file, error,
			      "broken ELF: a segment is larger in the file than in memory");
	if (!boot_file_holds(file, segment.offset, segment.filesz))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s' is truncated: it has %" PRIu64
				  " bytes, and a segment "
				  "of %" PRIu64 " bytes starts at %" PRIu64,
				  file->path, file->size, segment.filesz, segment.offset);
	if (segment.gpa < LAYOUT_HIGH_RAM)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s': a segment at 0x%" PRIx64 " is in the first MiB, "
				  "which is reserved",
				  file->path, segment.gpa);
	if (__builtin_add_overflow(segment.gpa, segment.memsz, &end))
		return broken(file, error, "broken ELF: a segment wraps around the address space");
	for (unsigned i = 0; i < image->n_segments; i++) {
		const ElfSegment *other = &image->segments[i];

		if (segment.gpa < other->gpa + other->memsz && other->gpa < end)
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "kernel '%s': broken ELF: segments at 0x%" PRIx64
					  " and 0x%" PRIx64 " overlap",
					  file->path, other->gpa, segment.gpa);
	}
	image->segments[image->n_segments++] = segment;
	return true;
}

static bool inside_segment(const ElfImage *image, uint64_t gpa)
{
	for (unsigned i = 0; i < image->n_segments; i++)
		if (gpa - image->segments[i].gpa < image->segments[i].memsz)
			return true;
	return false;
}

bool elf_parse(const BootFile *file, ElfImage *ret_image, GError **error)
{
	ElfImage image = {0};
	Elf64_Ehdr header;

	if (file->size < sizeof(header))
		return broken(file, error, "a truncated ELF");
	if (!boot_file_read(file, 0, &header, sizeof(header), error) ||
	    !check_header(file, &header, error))
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		uint64_t at = header.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr program;

		if (at < header.e_phoff || !boot_file_holds(file, at, sizeof(program)))
			return broken(file, error, "a truncated ELF: program headers are missing");
		if (!boot_file_read(file, at, &program, sizeof(program), error))
			return false;
		if (program.p_type == PT_LOAD && !add_segment(file, &program, &image, error))
			return false;
		if (program.p_type == PT_NOTE && !parse_notes(file, &program, &image, error))
			return false;
	}
	image.entry = header.e_entry;
	if (image.n_segments == 0)
		return broken(file, error, "an ELF without anything to load");
	if (!inside_segment(&image, image.has_pvh ? image.pvh_entry : image.entry))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "kernel '%s': broken ELF: the %s entry 0x%" PRIx64
				  " is in none of its segments",
				  file->path, image.has_pvh ? "PVH" : "64-bit",
				  image.has_pvh ? image.pvh_entry : image.entry);
	*ret_image = image;
	return true;
}

bool elf_load(const ElfImage *image, const BootFile *file, GuestMemory *memory, GError **error)
{
	for (unsigned i = 0; i < image->n_segments; i++) {
		const ElfSegment *segment = &image->segments[i];

		if (!place_check(memory, file->path, segment->gpa, segment->memsz, error))
			return false;
	}
	for (unsigned i = 0; i < image->n_segments; i++) {
		const ElfSegment *segment = &image->segments[i];

		if (!boot_file_load(file, segment->offset, segment->filesz, memory, segment->gpa,
				    error))
			return false;
	}
	return true;
}
