// SPDX-License-Identifier: MIT
/* The format: Devicetree Specification 0.4, chapter 5. */
#include "snapshot/fdt_builder.h"

#include <libfdt.h>
#include <string.h>

#define OLDEST_READER 16u /* a version 17 that readers of version 16 understand as well */

void fdt_builder_init(FdtBuilder *builder)
{
	builder->nodes = g_byte_array_new();
	builder->names = g_byte_array_new();
	builder->name_offsets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void fdt_builder_finish(FdtBuilder *builder)
{
	g_byte_array_unref(builder->nodes);
	g_byte_array_unref(builder->names);
	g_hash_table_unref(builder->name_offsets);
}

static void append_cell(GByteArray *to, uint32_t value)
{
	fdt32_t cell = cpu_to_fdt32(value);

	g_byte_array_append(to, (const uint8_t *)&cell, sizeof(cell));
}

static void append_padded(GByteArray *to, const void *data, size_t size)
{
	static const uint8_t zeros[FDT_TAGSIZE];

	g_byte_array_append(to, data, size);
	g_byte_array_append(to, zeros, -size % FDT_TAGSIZE);
}

static uint32_t name_offset(FdtBuilder *builder, const char *name)
{
	gpointer known = g_hash_table_lookup(builder->name_offsets, name);
	uint32_t offset = builder->names->len;

	if (known)
		return GPOINTER_TO_UINT(known) - 1;
	g_byte_array_append(builder->names, (const uint8_t *)name, strlen(name) + 1);
	g_hash_table_insert(builder->name_offsets, g_strdup(name), GUINT_TO_POINTER(offset + 1));
	return offset;
}

void fdt_builder_begin(FdtBuilder *builder, const char *node)
{
	append_cell(builder->nodes, FDT_BEGIN_NODE);
	append_padded(builder->nodes, node, strlen(node) + 1);
}

void fdt_builder_end(FdtBuilder *builder)
{
	append_cell(builder->nodes, FDT_END_NODE);
}

void fdt_builder_bytes(FdtBuilder *builder, const char *name, const void *data, size_t size)
{
	append_cell(builder->nodes, FDT_PROP);
	append_cell(builder->nodes, size);
	append_cell(builder->nodes, name_offset(builder, name));
	append_padded(builder->nodes, data, size);
}

void fdt_builder_text(FdtBuilder *builder, const char *name, const char *text)
{
	fdt_builder_bytes(builder, name, text, strlen(text) + 1);
}

void fdt_builder_cells(FdtBuilder *builder, const char *name, const uint32_t *cells, unsigned n)
{
	append_cell(builder->nodes, FDT_PROP);
	append_cell(builder->nodes, n * sizeof(*cells));
	append_cell(builder->nodes, name_offset(builder, name));
	for (unsigned i = 0; i < n; i++)
		append_cell(builder->nodes, cells[i]);
}

void fdt_builder_u64(FdtBuilder *builder, const char *name, uint64_t value)
{
	fdt_builder_cells(builder, name, (uint32_t[]){value >> 32, (uint32_t)value}, 2);
}

GBytes *fdt_builder_bytes_of_tree(const FdtBuilder *builder)
{
	static const struct fdt_reserve_entry no_reservation;
	size_t nodes = FDT_V17_SIZE + sizeof(no_reservation);
	size_t names = nodes + builder->nodes->len + FDT_TAGSIZE;
	struct fdt_header header = {0};
	GByteArray *tree = g_byte_array_sized_new(names + builder->names->len);

	fdt_set_magic(&header, FDT_MAGIC);
	fdt_set_totalsize(&header, names + builder->names->len);
	fdt_set_off_dt_struct(&header, nodes);
	fdt_set_off_dt_strings(&header, names);
	fdt_set_off_mem_rsvmap(&header, FDT_V17_SIZE);
	fdt_set_version(&header, FDT_LAST_SUPPORTED_VERSION);
	fdt_set_last_comp_version(&header, OLDEST_READER);
	fdt_set_size_dt_strings(&header, builder->names->len);
	fdt_set_size_dt_struct(&header, builder->nodes->len + FDT_TAGSIZE);
	g_byte_array_append(tree, (const uint8_t *)&header, FDT_V17_SIZE);
	g_byte_array_append(tree, (const uint8_t *)&no_reservation, sizeof(no_reservation));
	g_byte_array_append(tree, builder->nodes->data, builder->nodes->len);
	append_cell(tree, FDT_END);
	g_byte_array_append(tree, builder->names->data, builder->names->len);
	return g_byte_array_free_to_bytes(tree);
}
