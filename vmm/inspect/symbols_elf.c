// SPDX-License-Identifier: MIT
#include "inspect/symbols_elf.h"

#include <elf.h>
#include <string.h>

typedef struct File {
	const uint8_t *bytes;
	size_t length;
} File;

/* `size` bytes at `offset`, or NULL if the file has no such bytes. */
static const uint8_t *at(const File *file, uint64_t offset, uint64_t size)
{
	if (offset > file->length || size > file->length - offset)
		return NULL;
	return file->bytes + offset;
}

static bool section(const File *file, const Elf64_Ehdr *header, unsigned index,
		    Elf64_Shdr *ret_section)
{
	const uint8_t *from =
		at(file, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr));

	if (!from || index >= header->e_shnum)
		return false;
	memcpy(ret_section, from + index * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
	return true;
}

bool symbols_elf_is(const void *content, size_t length)
{
	return length >= SELFMAG && memcmp(content, ELFMAG, SELFMAG) == 0;
}

static bool read_table(const File *file, const Elf64_Shdr *table, const Elf64_Shdr *strings,
		       SymbolSink sink, void *owner)
{
	const uint8_t *symbols = at(file, table->sh_offset, table->sh_size);
	const char *names = (const char *)at(file, strings->sh_offset, strings->sh_size);
	bool any = false;

	if (!symbols || !names || strings->sh_size == 0 || names[strings->sh_size - 1] != '\0')
		return false;
	for (uint64_t i = 0; i < table->sh_size / sizeof(Elf64_Sym); i++) {
		Elf64_Sym symbol;

		memcpy(&symbol, symbols + i * sizeof(symbol), sizeof(symbol));
		if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
		    symbol.st_name >= strings->sh_size || names[symbol.st_name] == '\0')
			continue;
		sink(owner, symbol.st_value, symbol.st_size, names + symbol.st_name);
		any = true;
	}
	return any;
}

bool symbols_elf_read(const void *content, size_t length, SymbolSink sink, void *owner)
{
	File file = {.bytes = content, .length = length};
	Elf64_Ehdr header;
	bool any = false;

	if (length < sizeof(header))
		return false;
	memcpy(&header, content, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_shentsize != sizeof(Elf64_Shdr))
		return false;
	for (unsigned i = 0; i < header.e_shnum; i++) {
		Elf64_Shdr table, strings;

		if (!section(&file, &header, i, &table))
			return any;
		if (table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM)
			continue;
		if (section(&file, &header, table.sh_link, &strings) &&
		    strings.sh_type == SHT_STRTAB)
			any = read_table(&file, &table, &strings, sink, owner) || any;
	}
	return any;
}
