// SPDX-License-Identifier: MIT
#include "state_example.h"

#include <string.h>

/* Values that differ from each other in every byte, so that none can stand for another. */
static uint64_t next_value(uint64_t *seed, unsigned width)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return width == 8 ? *seed : *seed >> 24 & ((1ULL << (8 * width)) - 1);
}

static void fill_blob(GByteArray *blob, uint64_t *seed)
{
	g_byte_array_set_size(blob, 64 + next_value(seed, 1));
	for (unsigned i = 0; i < blob->len; i++)
		blob->data[i] = next_value(seed, 1);
}

static void fill_msrs(GArray *msrs, uint64_t *seed)
{
	/* With a name, without one, the greatest there is. */
	static const uint32_t indices[] = {0xc0000082, 0x1b, 0x12345, UINT32_MAX};

	for (size_t i = 0; i < G_N_ELEMENTS(indices); i++) {
		struct kvm_msr_entry msr = {.index = indices[i], .data = next_value(seed, 8)};

		g_array_append_val(msrs, msr);
	}
}

static struct kvm_cpuid2 *fill_cpuid(uint64_t *seed)
{
	static const struct kvm_cpuid_entry2 leaves[] = {
		{.function = 0},
		{.function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
		{.function = 7, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
		{.function = 2, .flags = KVM_CPUID_FLAG_STATEFUL_FUNC},
		{.function = 0xd, .index = UINT32_MAX, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
		{.function = 0x80000008, .index = 3},
	};
	struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + sizeof(leaves));

	cpuid->nent = G_N_ELEMENTS(leaves);
	for (unsigned i = 0; i < cpuid->nent; i++) {
		cpuid->entries[i] = leaves[i];
		cpuid->entries[i].eax = next_value(seed, 4);
		cpuid->entries[i].ebx = next_value(seed, 4);
		cpuid->entries[i].ecx = next_value(seed, 4);
		cpuid->entries[i].edx = next_value(seed, 4);
	}
	return cpuid;
}

static void fill_cet(CetState *cet, uint64_t *seed)
{
	cet->has = (1u << CET_N_REGS) - 1;
	cet->has |= CET_HAS_XSS | CET_HAS_CR;
	cet->xss = next_value(seed, 8);
	for (unsigned i = 0; i < CET_N_REGS; i++)
		cet->value[i] = next_value(seed, 8);
}

static void fill_group(const StateGroup *group, void *base, uint64_t *seed)
{
	for (unsigned f = 0; f < group->n_fields; f++) {
		const StateField *field = &group->fields[f];
		char *at = (char *)base + field->offset;

		switch (field->kind) {
		case FIELD_GROUP:
			fill_group(field->group, at, seed);
			break;
		case FIELD_BYTES:
			for (unsigned i = 0; i < field->count; i++)
				at[i] = (char)next_value(seed, 1);
			break;
		case FIELD_BLOB:
			fill_blob(*(GByteArray **)at, seed);
			break;
		case FIELD_MSRS:
			fill_msrs(*(GArray **)at, seed);
			break;
		case FIELD_CPUID:
			*(struct kvm_cpuid2 **)at = fill_cpuid(seed);
			break;
		case FIELD_CET:
			fill_cet((CetState *)at, seed);
			break;
		default:
			for (unsigned i = 0; i < field->count; i++)
				g_assert_true(state_field_set(
					field, base, i,
					field->flags & FIELD_BOOL
						? 1
						: next_value(seed, state_field_width(field))));
		}
	}
}

MachineState *state_example(unsigned vcpus, uint64_t memory)
{
	static const char *const devices[] = {"ioapic", "serial", "serial", "power"};
	MachineState *state = machine_state_create();
	uint64_t seed = 1;

	fill_group(&machine_state_group, state, &seed);
	state->memory = memory;
	state->kernel = g_strdup("7.3.4-example");
	for (unsigned i = 0; i < vcpus; i++) {
		VcpuState *vcpu = machine_state_add_vcpu(state);

		fill_group(&vcpu_state_group, vcpu, &seed);
		vcpu->id = i;
		vcpu->cet.cr0 = vcpu->sregs.cr0;
		vcpu->cet.cr4 = vcpu->sregs.cr4;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
		DeviceState *device = machine_state_add_device(state, device_kind_find(devices[i]));

		fill_group(device->kind->group, device->data, &seed);
	}
	return state;
}

static void assert_cpuid(const struct kvm_cpuid2 *a, const struct kvm_cpuid2 *b)
{
	g_assert_cmpuint(a->nent, ==, b->nent);
	g_assert_cmpmem(a->entries, a->nent * sizeof(a->entries[0]), b->entries,
			b->nent * sizeof(b->entries[0]));
}

static void assert_group(const StateGroup *group, const void *a, const void *b)
{
	for (unsigned f = 0; f < group->n_fields; f++) {
		const StateField *field = &group->fields[f];
		const char *at_a = (const char *)a + field->offset;
		const char *at_b = (const char *)b + field->offset;

		switch (field->kind) {
		case FIELD_GROUP:
			assert_group(field->group, at_a, at_b);
			break;
		case FIELD_BYTES:
			g_assert_cmpmem(at_a, field->count, at_b, field->count);
			break;
		case FIELD_BLOB: {
			const GByteArray *x = *(GByteArray *const *)at_a;
			const GByteArray *y = *(GByteArray *const *)at_b;

			g_assert_cmpmem(x->data, x->len, y->data, y->len);
			break;
		}
		case FIELD_MSRS: {
			const GArray *x = *(GArray *const *)at_a, *y = *(GArray *const *)at_b;

			g_assert_cmpmem(x->data, x->len * sizeof(struct kvm_msr_entry), y->data,
					y->len * sizeof(struct kvm_msr_entry));
			break;
		}
		case FIELD_CPUID:
			assert_cpuid(*(struct kvm_cpuid2 *const *)at_a,
				     *(struct kvm_cpuid2 *const *)at_b);
			break;
		case FIELD_CET:
			g_assert_cmpmem(at_a, sizeof(CetState), at_b, sizeof(CetState));
			break;
		default:
			for (unsigned i = 0; i < field->count; i++)
				g_assert_cmphex(state_field_get(field, a, i), ==,
						state_field_get(field, b, i));
		}
	}
}

void state_assert_equal(const MachineState *a, const MachineState *b)
{
	g_assert_cmpstr(a->kernel, ==, b->kernel);
	assert_group(&machine_state_group, a, b);
	g_assert_cmpuint(a->vcpus->len, ==, b->vcpus->len);
	for (unsigned i = 0; i < a->vcpus->len; i++)
		assert_group(&vcpu_state_group, a->vcpus->pdata[i], b->vcpus->pdata[i]);
	g_assert_cmpuint(a->devices->len, ==, b->devices->len);
	for (unsigned i = 0; i < a->devices->len; i++) {
		const DeviceState *x = a->devices->pdata[i], *y = b->devices->pdata[i];

		g_assert_true(x->kind == y->kind);
		assert_group(x->kind->group, x->data, y->data);
	}
}
