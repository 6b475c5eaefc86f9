// SPDX-License-Identifier: MIT
/* Walks a device tree of untrusted bytes from front to back, and knows where it is. */
#ifndef UMBRA_SNAPSHOT_TREE_CURSOR_H
#define UMBRA_SNAPSHOT_TREE_CURSOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct TreeCursor {
	const void *fdt;
	uint8_t *copy; /* of bytes that were not aligned */
	int at;	       /* the next tag */
	GString *path; /* of the node whose items come next; only names known to the reader */
	GError **error;
} TreeCursor;

typedef enum TreeItemKind { TREE_PROPERTY, TREE_NODE, TREE_END } TreeItemKind;

typedef struct TreeItem {
	TreeItemKind kind;
	const char *name;
	const uint8_t *data; /* of a property; 4-byte aligned */
	uint32_t size;
} TreeItem;

/* Checks the tree as such (libfdt) and enters the root. What goes wrong from now on is in *error.
 */
bool tree_cursor_init(TreeCursor *cursor, const void *data, size_t size, GError **error);
void tree_cursor_finish(TreeCursor *cursor);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TreeCursor, tree_cursor_finish)

/* The next property, subnode (which it enters), or the end of this node (which it leaves). */
bool tree_cursor_next(TreeCursor *cursor, TreeItem *ret_item);
/* After the root's end: nothing may follow. */
bool tree_cursor_at_end(TreeCursor *cursor);

/* Around the reading of something that has a name. */
void tree_cursor_push(TreeCursor *cursor, const char *name);
void tree_cursor_pop(TreeCursor *cursor);

/* False, with *error: "state: /machine/memory: " and the rest. */
bool tree_cursor_fail(TreeCursor *cursor, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The same about an item that does not belong here; its name is made fit for a terminal. */
bool tree_cursor_refuse(TreeCursor *cursor, const TreeItem *item, const char *why);

/* A property's numbers, whose size the caller has checked. */
uint32_t tree_item_u32(const TreeItem *item, unsigned cell);
uint64_t tree_item_u64(const TreeItem *item, unsigned cell);
bool tree_cursor_expect_size(TreeCursor *cursor, const TreeItem *item, size_t size);

#endif
