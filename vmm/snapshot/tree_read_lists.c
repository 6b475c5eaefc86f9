// SPDX-License-Identifier: MIT
/* Nodes with one property for each thing in a list: MSRs, CPUID leaves, CET registers. */
#include "snapshot/tree_read.h"

#include "snapshot/tree_format.h"

#include <string.h>

#define MSR_PREFIX "msr-0x"

/* A number as the writer writes it, and in no other way: `digits` of base 10 or 16. */
static bool parse_number(const char *text, const char *end, unsigned base, uint32_t *ret)
{
	uint64_t value = 0;

	if (text == end || end - text > 10)
		return false;
	for (; text < end; text++) {
		int digit = g_ascii_isupper(*text) ? -1 : g_ascii_xdigit_value(*text);

		if (digit < 0 || digit >= (int)base)
			return false;
		value = value * base + (unsigned)digit;
	}
	*ret = (uint32_t)value;
	return value <= UINT32_MAX;
}

static bool parse_msr(const char *name, uint32_t *ret_index)
{
	if (msr_find(name, ret_index))
		return true;
	return g_str_has_prefix(name, MSR_PREFIX) &&
	       parse_number(name + strlen(MSR_PREFIX), name + strlen(name), 16, ret_index);
}

static bool has_msr(const GArray *msrs, uint32_t index)
{
	for (unsigned i = 0; i < msrs->len; i++)
		if (g_array_index(msrs, struct kvm_msr_entry, i).index == index)
			return true;
	return false;
}

bool tree_read_msrs(TreeCursor *cursor, GArray *msrs)
{
	TreeItem item;

	g_array_set_size(msrs, 0);
	for (;;) {
		struct kvm_msr_entry msr = {0};

		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			return true;
		if (item.kind != TREE_PROPERTY || !parse_msr(item.name, &msr.index))
			return tree_cursor_refuse(cursor, &item, "is not known");
		if (has_msr(msrs, msr.index))
			return tree_cursor_refuse(cursor, &item, "is there twice");
		if (msrs->len == TREE_MSRS_MAX)
			return tree_cursor_fail(cursor, "more than %u are too many", TREE_MSRS_MAX);
		if (item.size != sizeof(msr.data))
			return tree_cursor_refuse(cursor, &item, "is not 8 bytes long");
		msr.data = tree_item_u64(&item, 0);
		g_array_append_val(msrs, msr);
	}
}

/* "0x00000007.0", or without the index if it has none. */
static bool parse_leaf(const char *name, struct kvm_cpuid_entry2 *leaf)
{
	const char *dot = strchr(name, '.');
	const char *end = dot ? dot : name + strlen(name);

	if (!g_str_has_prefix(name, "0x") || end - name != 10 ||
	    !parse_number(name + 2, end, 16, &leaf->function))
		return false;
	if (!dot)
		return true;
	leaf->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	return parse_number(dot + 1, dot + strlen(dot), 10, &leaf->index);
}

static bool has_leaf(const struct kvm_cpuid2 *cpuid, const struct kvm_cpuid_entry2 *leaf)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *other = &cpuid->entries[i];

		if (other->function == leaf->function && other->index == leaf->index &&
		    other->flags == leaf->flags)
			return true;
	}
	return false;
}

static bool read_leaf(TreeCursor *cursor, const TreeItem *item, struct kvm_cpuid_entry2 *leaf)
{
	struct kvm_cpuid_entry2 named = {0};

	if (item->kind != TREE_PROPERTY || !parse_leaf(item->name, &named))
		return tree_cursor_refuse(cursor, item, "is not known");
	*leaf = named;
	if (item->size == TREE_CPUID_CELLS_LONG * sizeof(uint32_t)) {
		leaf->flags = tree_item_u32(item, 4);
		leaf->index = tree_item_u32(item, 5);
		if ((leaf->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != named.flags ||
		    (named.flags && leaf->index != named.index))
			return tree_cursor_refuse(cursor, item, "contradicts its own cells");
	} else if (item->size != TREE_CPUID_CELLS * sizeof(uint32_t)) {
		return tree_cursor_refuse(cursor, item, "is not 16 bytes long");
	}
	leaf->eax = tree_item_u32(item, 0);
	leaf->ebx = tree_item_u32(item, 1);
	leaf->ecx = tree_item_u32(item, 2);
	leaf->edx = tree_item_u32(item, 3);
	return true;
}

static struct kvm_cpuid2 *cpuid_with_room(unsigned entries)
{
	return g_malloc0(sizeof(struct kvm_cpuid2) + entries * sizeof(struct kvm_cpuid_entry2));
}

bool tree_read_cpuid(TreeCursor *cursor, struct kvm_cpuid2 **cpuid)
{
	struct kvm_cpuid_entry2 leaf;
	TreeItem item;

	g_free(*cpuid);
	*cpuid = cpuid_with_room(TREE_CPUID_MAX);
	for (;;) {
		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			return true;
		if (!read_leaf(cursor, &item, &leaf))
			return false;
		if (has_leaf(*cpuid, &leaf))
			return tree_cursor_refuse(cursor, &item, "is there twice");
		if ((*cpuid)->nent == TREE_CPUID_MAX)
			return tree_cursor_fail(cursor, "more than %u are too many",
						TREE_CPUID_MAX);
		(*cpuid)->entries[(*cpuid)->nent++] = leaf;
	}
}

/* The value of this name, and what CetState.has calls it; CR0 and CR4 share a bit. */
static uint64_t *cet_value(CetState *cet, const char *name, uint32_t *ret_bit)
{
	const RegDesc *reg = cet_register_find(name);

	if (reg) {
		*ret_bit = 1u << (reg - cet_registers);
		return &cet->value[reg - cet_registers];
	}
	*ret_bit = CET_HAS_XSS;
	if (strcmp(name, "xss") == 0)
		return &cet->xss;
	*ret_bit = CET_HAS_CR;
	if (strcmp(name, "cr0") == 0)
		return &cet->cr0;
	*ret_bit = CET_HAS_CR << 1;
	return strcmp(name, "cr4") == 0 ? &cet->cr4 : NULL;
}

bool tree_read_cet(TreeCursor *cursor, CetState *cet)
{
	uint32_t bit, seen = 0;
	TreeItem item;

	for (;;) {
		uint64_t *value;

		if (!tree_cursor_next(cursor, &item))
			return false;
		if (item.kind == TREE_END)
			break;
		value = item.kind == TREE_PROPERTY ? cet_value(cet, item.name, &bit) : NULL;
		if (!value)
			return tree_cursor_refuse(cursor, &item, "is not known");
		if (seen & bit)
			return tree_cursor_refuse(cursor, &item, "is there twice");
		if (item.size != sizeof(*value))
			return tree_cursor_refuse(cursor, &item, "is not 8 bytes long");
		*value = tree_item_u64(&item, 0);
		seen |= bit;
	}
	if (!(seen & CET_HAS_CR) != !(seen & CET_HAS_CR << 1))
		return tree_cursor_fail(cursor, "'%s' is missing",
					seen & CET_HAS_CR ? "cr4" : "cr0");
	cet->has = seen & ~(uint32_t)(CET_HAS_CR << 1);
	return true;
}
