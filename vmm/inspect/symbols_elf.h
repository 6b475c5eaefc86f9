// SPDX-License-Identifier: MIT
/* The functions in an ELF64 file's symbol table. The file is untrusted. */
#ifndef UMBRA_INSPECT_SYMBOLS_ELF_H
#define UMBRA_INSPECT_SYMBOLS_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*SymbolSink)(void *owner, uint64_t address, uint64_t size, const char *name);

bool symbols_elf_is(const void *content, size_t length);

/* Gives each named function of .symtab and .dynsym to `sink`; false if there is none. */
bool symbols_elf_read(const void *content, size_t length, SymbolSink sink, void *owner);

#endif
