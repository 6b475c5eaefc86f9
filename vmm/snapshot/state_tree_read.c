// SPDX-License-Identifier: MIT
#include "snapshot/state_tree.h"

#include "base/error.h"
#include "base/layout.h"
#include "snapshot/tree_format.h"
#include "snapshot/tree_read.h"

#include <inttypes.h>
#include <string.h>

#define X86_MSR_XSS 0xda0u

static bool is_text(const TreeItem *item, const char *text)
{
	return item->size == strlen(text) + 1 && memcmp(item->data, text, item->size) == 0;
}

/* It will be shown to people: nothing that a terminal could take for a command. */
static bool is_printable(const TreeItem *item)
{
	if (item->size == 0 || item->size > TREE_KERNEL_MAX || item->data[item->size - 1] != '\0')
		return false;
	for (unsigned i = 0; i + 1 < item->size; i++)
		if (!g_ascii_isprint(item->data[i]))
			return false;
	return true;
}

/*
 * CET is judged with the values beside it and loaded with those of sregs and MSRs: a
 * tree in which they differ would be judged for another machine than it makes.
 */
static bool check_vcpu(TreeCursor *cursor, const VcpuState *vcpu, unsigned id)
{
	const CetState *cet = &vcpu->cet;

	if (vcpu->id != id)
		return tree_cursor_fail(cursor, "id is %u", vcpu->id);
	if ((cet->has & CET_HAS_CR) && cet->cr0 != vcpu->sregs.cr0)
		return tree_cursor_fail(cursor, "cet/cr0 and sregs/cr0 differ");
	if ((cet->has & CET_HAS_CR) && cet->cr4 != vcpu->sregs.cr4)
		return tree_cursor_fail(cursor, "cet/cr4 and sregs/cr4 differ");
	for (unsigned i = 0; (cet->has & CET_HAS_XSS) && i < vcpu->msrs->len; i++) {
		const struct kvm_msr_entry *msr =
			&g_array_index(vcpu->msrs, struct kvm_msr_entry, i);

		if (msr->index == X86_MSR_XSS && msr->data != cet->xss)
			return tree_cursor_fail(cursor, "cet/xss and msrs/xss differ");
	}
	return true;
}

static bool read_vcpus(TreeCursor *cursor, const TreeItem *node, MachineState *state)
{
	TreeItem item;

	(void)node;
	for (;;) {
		unsigned id = state->vcpus->len;
		char name[32];

		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			return id > 0 || tree_cursor_fail(cursor, "there is none");
		g_snprintf(name, sizeof(name), "vcpu-%u", id);
		if (item.kind != TREE_NODE || strcmp(item.name, name) != 0)
			return tree_cursor_refuse(cursor, &item, "is not the next vCPU");
		if (id == LAYOUT_CPUS_MAX)
			return tree_cursor_fail(cursor, "more than %u are too many",
						LAYOUT_CPUS_MAX);
		tree_cursor_push(cursor, name);
		if (!tree_read_group(cursor, &vcpu_state_group, machine_state_add_vcpu(state)) ||
		    !check_vcpu(cursor, state->vcpus->pdata[id], id))
			return false;
		tree_cursor_pop(cursor);
	}
}

static const DeviceKind *find_kind(const char *name)
{
	const char *dash = strrchr(name, '-');
	g_autofree char *kind = dash ? g_strndup(name, dash - name) : NULL;

	return kind ? device_kind_find(kind) : NULL;
}

static bool is_next_of_kind(const MachineState *state, const DeviceKind *kind, const char *name)
{
	unsigned ordinal = 0;
	char expected[64];

	for (unsigned i = 0; i < state->devices->len; i++)
		ordinal += ((const DeviceState *)state->devices->pdata[i])->kind == kind;
	g_snprintf(expected, sizeof(expected), "%s-%u", kind->name, ordinal);
	return strcmp(name, expected) == 0;
}

static bool read_devices(TreeCursor *cursor, const TreeItem *node, MachineState *state)
{
	TreeItem item;

	(void)node;
	for (;;) {
		const DeviceKind *kind;
		DeviceState *device;

		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			return true;
		kind = item.kind == TREE_NODE ? find_kind(item.name) : NULL;
		if (!kind)
			return tree_cursor_refuse(cursor, &item,
						  "is a device that this version does not know");
		if (!is_next_of_kind(state, kind, item.name))
			return tree_cursor_refuse(cursor, &item, "is not the next of its kind");
		if (state->devices->len == TREE_DEVICES_MAX)
			return tree_cursor_fail(cursor, "more than %u are too many",
						TREE_DEVICES_MAX);
		device = machine_state_add_device(state, kind);
		tree_cursor_push(cursor, item.name);
		if (!tree_read_group(cursor, kind->group, device->data))
			return false;
		tree_cursor_pop(cursor);
	}
}

static bool read_machine(TreeCursor *cursor, const TreeItem *node, MachineState *state)
{
	(void)node;
	if (!tree_read_group(cursor, &machine_state_group, state))
		return false;
	if (state->memory == 0 || state->memory > LAYOUT_RAM_MAX || state->memory % 4096 != 0)
		return tree_cursor_fail(cursor, "memory: %" PRIu64 " bytes is out of range",
					state->memory);
	return true;
}

static bool read_compatible(TreeCursor *cursor, const TreeItem *item, MachineState *state)
{
	(void)state;
	return is_text(item, TREE_COMPATIBLE) ||
	       tree_cursor_refuse(cursor, item, "is not " TREE_COMPATIBLE);
}

static bool read_version(TreeCursor *cursor, const TreeItem *item, MachineState *state)
{
	(void)state;
	return tree_cursor_expect_size(cursor, item, sizeof(uint32_t));
}

static bool read_compatible_version(TreeCursor *cursor, const TreeItem *item, MachineState *state)
{
	(void)state;
	if (!tree_cursor_expect_size(cursor, item, sizeof(uint32_t)))
		return false;
	if (tree_item_u32(item, 0) > TREE_VERSION)
		return tree_cursor_fail(cursor,
					"%u: written by a newer umbra, and this one reads up to %u",
					tree_item_u32(item, 0), TREE_VERSION);
	return tree_item_u32(item, 0) > 0 || tree_cursor_fail(cursor, "is 0");
}

static bool read_kernel(TreeCursor *cursor, const TreeItem *item, MachineState *state)
{
	if (!is_printable(item))
		return tree_cursor_refuse(cursor, item, "is no name of a kernel");
	state->kernel = g_strdup((const char *)item->data);
	return true;
}

static const struct {
	const char *name;
	TreeItemKind kind;
	bool optional;
	bool (*read)(TreeCursor *cursor, const TreeItem *item, MachineState *state);
} root_items[] = {
	{"compatible", TREE_PROPERTY, false, read_compatible},
	{"version", TREE_PROPERTY, false, read_version},
	{"compatible-version", TREE_PROPERTY, false, read_compatible_version},
	{"kernel", TREE_PROPERTY, true, read_kernel},
	{"machine", TREE_NODE, false, read_machine},
	{"vcpus", TREE_NODE, false, read_vcpus},
	{"devices", TREE_NODE, false, read_devices},
};

static bool read_root_item(TreeCursor *cursor, const TreeItem *item, MachineState *state,
			   unsigned *seen)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(root_items); i++) {
		if (strcmp(item->name, root_items[i].name) != 0 || item->kind != root_items[i].kind)
			continue;
		if (*seen & (1u << i))
			return tree_cursor_refuse(cursor, item, "is there twice");
		*seen |= 1u << i;
		tree_cursor_push(cursor, item->name);
		if (!root_items[i].read(cursor, item, state))
			return false;
		tree_cursor_pop(cursor);
		return true;
	}
	return tree_cursor_refuse(cursor, item, "is not known");
}

static bool read_root(TreeCursor *cursor, MachineState *state)
{
	unsigned seen = 0;
	TreeItem item;

	for (;;) {
		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			break;
		if (!read_root_item(cursor, &item, state, &seen))
			return false;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(root_items); i++)
		if (!(seen & (1u << i)) && !root_items[i].optional)
			return tree_cursor_fail(cursor, "'%s' is missing", root_items[i].name);
	return true;
}

MachineState *state_tree_read(const void *data, size_t size, GError **error)
{
	g_autoptr(MachineState) state = machine_state_create();
	g_auto(TreeCursor) cursor = {0};

	if (!tree_cursor_init(&cursor, data, size, error) || !read_root(&cursor, state) ||
	    !tree_cursor_at_end(&cursor))
		return NULL;
	return g_steal_pointer(&state);
}
