// SPDX-License-Identifier: MIT
/* Fields by their description: vmm/state/fields.h. */
#include "snapshot/tree_read.h"

#include "snapshot/tree_format.h"

#include <inttypes.h>
#include <string.h>

static bool read_numbers(TreeCursor *cursor, const StateField *field, void *base,
			 const TreeItem *item)
{
	unsigned cells = field->kind == FIELD_U64 ? 2 : 1;

	if (!tree_cursor_expect_size(cursor, item, (size_t)field->count * cells * sizeof(uint32_t)))
		return false;
	for (unsigned i = 0; i < field->count; i++) {
		uint64_t value = cells == 2 ? tree_item_u64(item, 2 * i) : tree_item_u32(item, i);

		if (!state_field_set(field, base, i, value))
			return tree_cursor_fail(cursor, "0x%" PRIx64 " is %s", value,
						field->flags & FIELD_BOOL ? "neither 0 nor 1"
									  : "too large");
	}
	return true;
}

static bool read_property(TreeCursor *cursor, const StateField *field, void *base,
			  const TreeItem *item)
{
	char *at = (char *)base + field->offset;

	switch (field->kind) {
	case FIELD_BYTES:
		if (!tree_cursor_expect_size(cursor, item, field->count))
			return false;
		memcpy(at, item->data, item->size);
		return true;
	case FIELD_BLOB: {
		GByteArray *blob = *(GByteArray **)at;

		g_byte_array_set_size(blob, 0);
		g_byte_array_append(blob, item->data, item->size);
		return true;
	}
	default:
		return read_numbers(cursor, field, base, item);
	}
}

static bool read_node(TreeCursor *cursor, const StateField *field, void *base)
{
	char *at = (char *)base + field->offset;

	switch (field->kind) {
	case FIELD_MSRS:
		return tree_read_msrs(cursor, *(GArray **)at);
	case FIELD_CPUID:
		return tree_read_cpuid(cursor, (struct kvm_cpuid2 **)at);
	case FIELD_CET:
		return tree_read_cet(cursor, (CetState *)at);
	default:
		/* As deep as the descriptions are, whatever the tree says. */
		return tree_read_group(cursor, field->group, at);
	}
}

/* The field's place, looked for first where it is if all is in order; n_fields if there is none. */
static unsigned find_field(const StateGroup *group, const char *name, unsigned first)
{
	for (unsigned i = 0; i < group->n_fields; i++) {
		unsigned place = (first + i) % group->n_fields;

		if (strcmp(group->fields[place].name, name) == 0)
			return place;
	}
	return group->n_fields;
}

static bool read_field(TreeCursor *cursor, const StateField *field, void *base,
		       const TreeItem *item)
{
	bool read;

	if (tree_field_is_node(field) != (item->kind == TREE_NODE))
		return tree_cursor_refuse(cursor, item,
					  item->kind == TREE_NODE ? "should be a property"
								  : "should be a node");
	tree_cursor_push(cursor, field->name);
	read = item->kind == TREE_NODE ? read_node(cursor, field, base)
				       : read_property(cursor, field, base, item);
	if (read)
		tree_cursor_pop(cursor);
	return read;
}

bool tree_read_group(TreeCursor *cursor, const StateGroup *group, void *base)
{
	unsigned place, next = 0;
	uint64_t seen = 0;
	TreeItem item;

	g_assert(group->n_fields <= 64);
	for (;;) {
		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			break;
		place = find_field(group, item.name, next);
		if (place == group->n_fields)
			return tree_cursor_refuse(cursor, &item, "is not known");
		if (seen & (1ULL << place))
			return tree_cursor_refuse(cursor, &item, "is there twice");
		if (!read_field(cursor, &group->fields[place], base, &item))
			return false;
		seen |= 1ULL << place;
		next = place + 1;
	}
	for (unsigned i = 0; i < group->n_fields; i++)
		if (!(seen & (1ULL << i)) && !(group->fields[i].flags & FIELD_RARE))
			return tree_cursor_fail(cursor, "'%s' is missing", group->fields[i].name);
	return true;
}
