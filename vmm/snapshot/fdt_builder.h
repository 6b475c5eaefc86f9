// SPDX-License-Identifier: MIT
/*
 * Builds a flattened device tree from front to back. libfdt's own writer looks for
 * each property's name in all of the names so far, which for a machine's state costs
 * more than all the rest of a snapshot but RAM; this one has a table. All properties
 * of a node come before its subnodes.
 */
#ifndef UMBRA_SNAPSHOT_FDT_BUILDER_H
#define UMBRA_SNAPSHOT_FDT_BUILDER_H

#include <glib.h>
#include <stdint.h>

typedef struct FdtBuilder {
	GByteArray *nodes;
	GByteArray *names;
	GHashTable *name_offsets; /* name → its offset in `names`, plus one */
} FdtBuilder;

void fdt_builder_init(FdtBuilder *builder);
void fdt_builder_finish(FdtBuilder *builder);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FdtBuilder, fdt_builder_finish)

void fdt_builder_begin(FdtBuilder *builder, const char *node);
void fdt_builder_end(FdtBuilder *builder);

/* `name` need not outlive the call. */
void fdt_builder_bytes(FdtBuilder *builder, const char *name, const void *data, size_t size);
void fdt_builder_text(FdtBuilder *builder, const char *name, const char *text);
void fdt_builder_cells(FdtBuilder *builder, const char *name, const uint32_t *cells, unsigned n);
void fdt_builder_u64(FdtBuilder *builder, const char *name, uint64_t value);

/* The whole, without a memory reservation. */
GBytes *fdt_builder_bytes_of_tree(const FdtBuilder *builder);

#endif
