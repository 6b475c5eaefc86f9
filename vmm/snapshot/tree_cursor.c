// SPDX-License-Identifier: MIT
#include "snapshot/tree_cursor.h"

#include "base/error.h"
#include "snapshot/state_tree.h"
#include "snapshot/tree_format.h"

#include <libfdt.h>
#include <stdarg.h>
#include <string.h>

#define NAME_SHOWN 64 /* characters of a name that is wrong */

static bool damaged(GError **error, const char *what)
{
	return umbra_fail(error, UMBRA_ERROR_INPUT, "state: the device tree is damaged: %s", what);
}

/*
 * What libfdt leaves open: an older layout, bytes behind the tree, names so long that
 * looking for their ends takes forever.
 */
static bool check(const void *fdt, size_t size, GError **error)
{
	int result;

	if (size > STATE_TREE_MAX)
		return damaged(error, "it is too large");
	if (size < FDT_V17_SIZE || fdt_magic(fdt) != FDT_MAGIC)
		return damaged(error, "it does not begin as one");
	if (fdt_version(fdt) < FDT_LAST_SUPPORTED_VERSION)
		return damaged(error, "its layout is too old");
	if (fdt_totalsize(fdt) != size)
		return damaged(error, "its size is not what it says");
	if (fdt_size_dt_strings(fdt) > TREE_NAMES_MAX)
		return damaged(error, "its names take too much room");
	result = fdt_check_full(fdt, size);
	if (result != 0)
		return damaged(error, fdt_strerror(result));
	if (fdt_num_mem_rsv(fdt) != 0)
		return damaged(error, "it reserves memory");
	return true;
}

bool tree_cursor_init(TreeCursor *cursor, const void *data, size_t size, GError **error)
{
	int next;

	*cursor = (TreeCursor){.fdt = data, .error = error, .path = g_string_new(NULL)};
	if ((uintptr_t)data % 8 != 0 && size <= STATE_TREE_MAX) {
		cursor->copy = g_memdup2(data, size);
		cursor->fdt = cursor->copy;
	}
	if (!check(cursor->fdt, size, error))
		return false;
	while (fdt_next_tag(cursor->fdt, cursor->at, &next) == FDT_NOP)
		cursor->at = next;
	if (fdt_next_tag(cursor->fdt, cursor->at, &next) != FDT_BEGIN_NODE)
		return damaged(error, "it has no root");
	cursor->at = next;
	return true;
}

void tree_cursor_finish(TreeCursor *cursor)
{
	g_free(cursor->copy);
	if (cursor->path)
		g_string_free(cursor->path, TRUE);
}

bool tree_cursor_next(TreeCursor *cursor, TreeItem *ret_item)
{
	int at, next = cursor->at, size = 0;
	uint32_t tag;

	do {
		at = next;
		tag = fdt_next_tag(cursor->fdt, at, &next);
	} while (tag == FDT_NOP);
	cursor->at = next;
	*ret_item = (TreeItem){.kind = TREE_END};
	switch (tag) {
	case FDT_PROP:
		ret_item->kind = TREE_PROPERTY;
		ret_item->data = fdt_getprop_by_offset(cursor->fdt, at, &ret_item->name, &size);
		ret_item->size = size;
		if (ret_item->data && ret_item->name)
			return true;
		break;
	case FDT_BEGIN_NODE:
		ret_item->kind = TREE_NODE;
		ret_item->name = fdt_get_name(cursor->fdt, at, NULL);
		if (ret_item->name)
			return true;
		break;
	case FDT_END_NODE:
		return true;
	default:
		break;
	}
	return tree_cursor_fail(cursor, "the device tree is damaged");
}

bool tree_cursor_at_end(TreeCursor *cursor)
{
	uint32_t tag;

	do
		tag = fdt_next_tag(cursor->fdt, cursor->at, &cursor->at);
	while (tag == FDT_NOP);
	return tag == FDT_END || damaged(cursor->error, "something follows its root");
}

void tree_cursor_push(TreeCursor *cursor, const char *name)
{
	g_string_append_c(cursor->path, '/');
	g_string_append(cursor->path, name);
}

void tree_cursor_pop(TreeCursor *cursor)
{
	const char *last = strrchr(cursor->path->str, '/');

	g_string_truncate(cursor->path, last - cursor->path->str);
}

bool tree_cursor_fail(TreeCursor *cursor, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *what = g_strdup_vprintf(format, args);
	va_end(args);
	return umbra_fail(cursor->error, UMBRA_ERROR_INPUT, "state: %s: %s",
			  cursor->path->len > 0 ? cursor->path->str : "/", what);
}

bool tree_cursor_refuse(TreeCursor *cursor, const TreeItem *item, const char *why)
{
	g_autofree char *start = g_strndup(item->name, NAME_SHOWN);
	g_autofree char *name = g_strescape(start, NULL);

	return tree_cursor_fail(cursor, "%s '%s' %s", item->kind == TREE_NODE ? "node" : "property",
				name, why);
}

uint32_t tree_item_u32(const TreeItem *item, unsigned cell)
{
	return fdt32_ld((const fdt32_t *)item->data + cell);
}

uint64_t tree_item_u64(const TreeItem *item, unsigned cell)
{
	return (uint64_t)tree_item_u32(item, cell) << 32 | tree_item_u32(item, cell + 1);
}

bool tree_cursor_expect_size(TreeCursor *cursor, const TreeItem *item, size_t size)
{
	return item->size == size ||
	       tree_cursor_fail(cursor, "is %u bytes long, and %zu are needed", item->size, size);
}
