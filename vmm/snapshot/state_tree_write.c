// SPDX-License-Identifier: MIT
#include "snapshot/state_tree.h"

#include "base/error.h"
#include "snapshot/fdt_builder.h"
#include "snapshot/tree_format.h"

#include <inttypes.h>

#define NUMBERS_MAX 64u /* in one property */

static void write_numbers(FdtBuilder *builder, const StateField *field, const void *base)
{
	uint32_t cells[2 * NUMBERS_MAX];
	unsigned n = 0;

	g_assert(field->count <= NUMBERS_MAX);
	for (unsigned i = 0; i < field->count; i++) {
		uint64_t value = state_field_get(field, base, i);

		if (field->kind == FIELD_U64)
			cells[n++] = value >> 32;
		cells[n++] = (uint32_t)value;
	}
	fdt_builder_cells(builder, field->name, cells, n);
}

static void write_msrs(FdtBuilder *builder, const GArray *msrs)
{
	for (unsigned i = 0; i < msrs->len; i++) {
		const struct kvm_msr_entry *msr = &g_array_index(msrs, struct kvm_msr_entry, i);
		const char *known = msr_name(msr->index);
		char number[32];

		g_snprintf(number, sizeof(number), "msr-0x%" PRIx32, (uint32_t)msr->index);
		fdt_builder_u64(builder, known ? known : number, msr->data);
	}
}

static void write_leaf(FdtBuilder *builder, const struct kvm_cpuid_entry2 *leaf)
{
	bool indexed = leaf->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	bool told = indexed ? leaf->flags == KVM_CPUID_FLAG_SIGNIFCANT_INDEX
			    : leaf->flags == 0 && leaf->index == 0;
	uint32_t cells[TREE_CPUID_CELLS_LONG] = {leaf->eax, leaf->ebx,	 leaf->ecx,
						 leaf->edx, leaf->flags, leaf->index};
	char name[32];

	if (indexed)
		g_snprintf(name, sizeof(name), "0x%08x.%u", leaf->function, leaf->index);
	else
		g_snprintf(name, sizeof(name), "0x%08x", leaf->function);
	fdt_builder_cells(builder, name, cells, told ? TREE_CPUID_CELLS : TREE_CPUID_CELLS_LONG);
}

static void write_cpuid(FdtBuilder *builder, const struct kvm_cpuid2 *cpuid)
{
	for (unsigned i = 0; cpuid && i < cpuid->nent; i++)
		write_leaf(builder, &cpuid->entries[i]);
}

static void write_cet(FdtBuilder *builder, const CetState *cet)
{
	if (cet->has & CET_HAS_XSS)
		fdt_builder_u64(builder, "xss", cet->xss);
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (cet->has & (1u << i))
			fdt_builder_u64(builder, cet_registers[i].name, cet->value[i]);
	if (cet->has & CET_HAS_CR) {
		fdt_builder_u64(builder, "cr0", cet->cr0);
		fdt_builder_u64(builder, "cr4", cet->cr4);
	}
}

static void write_property(FdtBuilder *builder, const StateField *field, const void *base)
{
	const char *at = (const char *)base + field->offset;

	switch (field->kind) {
	case FIELD_U8:
	case FIELD_U16:
	case FIELD_U32:
	case FIELD_U64:
		write_numbers(builder, field, base);
		break;
	case FIELD_BYTES:
		fdt_builder_bytes(builder, field->name, at, field->count);
		break;
	case FIELD_BLOB: {
		const GByteArray *blob = *(GByteArray *const *)at;

		fdt_builder_bytes(builder, field->name, blob->data, blob->len);
		break;
	}
	default:
		break;
	}
}

static void write_group(FdtBuilder *builder, const StateGroup *group, const void *base);

static void write_node(FdtBuilder *builder, const StateField *field, const void *base)
{
	const char *at = (const char *)base + field->offset;

	fdt_builder_begin(builder, field->name);
	switch (field->kind) {
	case FIELD_GROUP:
		write_group(builder, field->group, at);
		break;
	case FIELD_MSRS:
		write_msrs(builder, *(GArray *const *)at);
		break;
	case FIELD_CPUID:
		write_cpuid(builder, *(struct kvm_cpuid2 *const *)at);
		break;
	case FIELD_CET:
		write_cet(builder, (const CetState *)at);
		break;
	default:
		g_assert_not_reached();
	}
	fdt_builder_end(builder);
}

/* A device tree has a node's properties before its subnodes; within both, the table's order. */
static void write_group(FdtBuilder *builder, const StateGroup *group, const void *base)
{
	for (unsigned i = 0; i < group->n_fields; i++) {
		const StateField *field = &group->fields[i];

		if (field->flags & FIELD_RARE && state_field_get(field, base, 0) == 0)
			continue;
		if (!tree_field_is_node(field))
			write_property(builder, field, base);
	}
	for (unsigned i = 0; i < group->n_fields; i++)
		if (tree_field_is_node(&group->fields[i]))
			write_node(builder, &group->fields[i], base);
}

static void write_vcpus(FdtBuilder *builder, const GPtrArray *vcpus)
{
	char name[32];

	fdt_builder_begin(builder, "vcpus");
	for (unsigned i = 0; i < vcpus->len; i++) {
		g_snprintf(name, sizeof(name), "vcpu-%u", i);
		fdt_builder_begin(builder, name);
		write_group(builder, &vcpu_state_group, vcpus->pdata[i]);
		fdt_builder_end(builder);
	}
	fdt_builder_end(builder);
}

/* Which of its kind the device is, counted from 0. */
static unsigned device_ordinal(const GPtrArray *devices, unsigned index)
{
	const DeviceState *device = devices->pdata[index];
	unsigned ordinal = 0;

	for (unsigned i = 0; i < index; i++)
		ordinal += ((const DeviceState *)devices->pdata[i])->kind == device->kind;
	return ordinal;
}

static void write_devices(FdtBuilder *builder, const GPtrArray *devices)
{
	fdt_builder_begin(builder, "devices");
	for (unsigned i = 0; i < devices->len; i++) {
		const DeviceState *device = devices->pdata[i];
		char name[64];

		g_snprintf(name, sizeof(name), "%s-%u", device->kind->name,
			   device_ordinal(devices, i));
		fdt_builder_begin(builder, name);
		write_group(builder, device->kind->group, device->data);
		fdt_builder_end(builder);
	}
	fdt_builder_end(builder);
}

GBytes *state_tree_write(const MachineState *state, GError **error)
{
	g_auto(FdtBuilder) builder = {0};
	g_autoptr(GBytes) tree = NULL;

	fdt_builder_init(&builder);
	fdt_builder_begin(&builder, "");
	fdt_builder_text(&builder, "compatible", TREE_COMPATIBLE);
	fdt_builder_cells(&builder, "version", (uint32_t[]){TREE_VERSION}, 1);
	fdt_builder_cells(&builder, "compatible-version", (uint32_t[]){TREE_COMPATIBLE_VERSION}, 1);
	if (state->kernel)
		fdt_builder_text(&builder, "kernel", state->kernel);
	fdt_builder_begin(&builder, "machine");
	write_group(&builder, &machine_state_group, state);
	fdt_builder_end(&builder);
	write_vcpus(&builder, state->vcpus);
	write_devices(&builder, state->devices);
	fdt_builder_end(&builder);
	tree = fdt_builder_bytes_of_tree(&builder);
	if (g_bytes_get_size(tree) > STATE_TREE_MAX || builder.names->len > TREE_NAMES_MAX) {
		umbra_fail(
			error, UMBRA_ERROR_FAILED,
			"the machine's state takes %zu bytes with %u bytes of names, and %u with "
			"%u is all that a snapshot holds",
			g_bytes_get_size(tree), builder.names->len, STATE_TREE_MAX, TREE_NAMES_MAX);
		return NULL;
	}
	return g_steal_pointer(&tree);
}
