// SPDX-License-Identifier: MIT
/*
 * Names for addresses, from what describes the guest's code: a System.map or
 * /proc/kallsyms, an ELF file with its symbol table, or a perf map file
 * (Linux, tools/perf/Documentation/jit-interface.txt).
 */
#ifndef UMBRA_INSPECT_SYMBOLS_H
#define UMBRA_INSPECT_SYMBOLS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Symbols Symbols;

Symbols *symbols_create(void);
void symbols_destroy(Symbols *symbols);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Symbols, symbols_destroy)

/*
 * Adds the functions of `path`; what kind of file it is, its content says. `base`
 * is added to every address: where a position-independent program was loaded.
 * Errors: UMBRA_ERROR_FAILED (cannot be read), UMBRA_ERROR_INPUT (no symbols in it).
 */
bool symbols_add_file(Symbols *symbols, const char *path, uint64_t base, GError **error);

/*
 * "name+0x12" for the function that `address` is in, or NULL; free with g_free.
 * Without a known size a function reaches to the next one, at most 16 MiB.
 */
char *symbols_name(Symbols *symbols, uint64_t address);

#endif
