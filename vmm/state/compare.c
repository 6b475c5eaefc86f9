// SPDX-License-Identifier: MIT
#include "state/compare.h"

#include <string.h>

/* A walk: what was found, and where it is. */
typedef struct Walk {
	const char *prefix;
	GPtrArray *found;
} Walk;

/* The way from the walk's beginning to a field: groups lie within groups. */
typedef struct Place {
	const struct Place *within;
	const StateField *field;
	unsigned flags;
} Place;

static void difference_destroy(void *data)
{
	StateDifference *difference = data;

	g_free(difference->path);
	g_free(difference->a);
	g_free(difference->b);
	g_free(difference);
}

GPtrArray *state_differences_create(void)
{
	return g_ptr_array_new_with_free_func(difference_destroy);
}

static void append_place(GString *path, const Place *place)
{
	if (place->within) {
		append_place(path, place->within);
		g_string_append_c(path, '.');
	}
	g_string_append(path, place->field->name);
}

/* Takes `tail`, `a` and `b`; a value that is NULL is none. */
static void add(const Walk *walk, const Place *place, char *tail, char *a, char *b)
{
	StateDifference *difference = g_new0(StateDifference, 1);
	GString *path = g_string_new(walk->prefix);

	append_place(path, place);
	if (tail)
		g_string_append(path, tail);
	g_free(tail);
	difference->path = g_string_free(path, FALSE);
	difference->a = a ? a : g_strdup("none");
	difference->b = b ? b : g_strdup("none");
	difference->moves = place->flags & FIELD_MOVES;
	g_ptr_array_add(walk->found, difference);
}

static char *number(uint64_t value)
{
	return g_strdup_printf("%#" G_GINT64_MODIFIER "x", value);
}

/* `a` and `b` are the structures, not the fields. */
static void compare_numbers(const Walk *walk, const Place *place, const void *a, const void *b)
{
	const StateField *field = place->field;

	for (unsigned i = 0; i < field->count; i++) {
		uint64_t x = state_field_get(field, a, i), y = state_field_get(field, b, i);

		if (x != y)
			add(walk, place, field->count > 1 ? g_strdup_printf("[%u]", i) : NULL,
			    number(x), number(y));
	}
}

static void compare_bytes(const Walk *walk, const Place *place, const uint8_t *a, size_t n_a,
			  const uint8_t *b, size_t n_b)
{
	size_t common = MIN(n_a, n_b), first = 0, n = 0;

	if (n_a != n_b)
		add(walk, place, NULL, g_strdup_printf("%zu bytes", n_a),
		    g_strdup_printf("%zu bytes", n_b));
	if (common == 0 || memcmp(a, b, common) == 0)
		return;
	for (size_t i = common; i-- > 0;)
		if (a[i] != b[i]) {
			first = i;
			n++;
		}
	add(walk, place, g_strdup_printf("[%#zx]%s", first, n > 1 ? " and others" : ""),
	    number(a[first]), number(b[first]));
}

static const struct kvm_msr_entry *find_msr(const GArray *msrs, uint32_t index, guint hint)
{
	for (guint i = 0; i < msrs->len; i++) {
		const struct kvm_msr_entry *entry =
			&g_array_index(msrs, struct kvm_msr_entry, (hint + i) % msrs->len);

		if (entry->index == index)
			return entry;
	}
	return NULL;
}

static char *msr_tail(uint32_t index)
{
	const char *name = msr_name(index);

	return name ? g_strdup_printf(".%s", name) : g_strdup_printf(".%#x", index);
}

static void compare_msrs(const Walk *walk, const Place *place, const GArray *a, const GArray *b)
{
	for (guint i = 0; i < a->len; i++) {
		const struct kvm_msr_entry *x = &g_array_index(a, struct kvm_msr_entry, i);
		const struct kvm_msr_entry *y = find_msr(b, x->index, i);

		if (!y || x->data != y->data)
			add(walk, place, msr_tail(x->index), number(x->data),
			    y ? number(y->data) : NULL);
	}
	for (guint i = 0; i < b->len; i++) {
		const struct kvm_msr_entry *y = &g_array_index(b, struct kvm_msr_entry, i);

		if (!find_msr(a, y->index, i))
			add(walk, place, msr_tail(y->index), NULL, number(y->data));
	}
}

static const struct kvm_cpuid_entry2 *find_leaf(const struct kvm_cpuid2 *cpuid,
						const struct kvm_cpuid_entry2 *like, unsigned hint)
{
	for (unsigned i = 0; cpuid && i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[(hint + i) % cpuid->nent];

		if (entry->function == like->function && entry->index == like->index)
			return entry;
	}
	return NULL;
}

/* One side's leaves; those of the other that it lacks are zero, as the guest would see them. */
static void compare_leaf(const Walk *walk, const Place *place, const struct kvm_cpuid_entry2 *leaf,
			 const struct kvm_cpuid_entry2 *x, const struct kvm_cpuid_entry2 *y)
{
	static const struct kvm_cpuid_entry2 none;
	static const char *const names[] = {"eax", "ebx", "ecx", "edx"};
	const uint32_t *from = x ? &x->eax : &none.eax, *to = y ? &y->eax : &none.eax;

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
		if (from[i] != to[i])
			add(walk, place,
			    g_strdup_printf(".%x.%x.%s", leaf->function, leaf->index, names[i]),
			    x ? number(from[i]) : NULL, y ? number(to[i]) : NULL);
}

static void compare_cpuid(const Walk *walk, const Place *place, const struct kvm_cpuid2 *a,
			  const struct kvm_cpuid2 *b)
{
	for (unsigned i = 0; a && i < a->nent; i++)
		compare_leaf(walk, place, &a->entries[i], &a->entries[i],
			     find_leaf(b, &a->entries[i], i));
	for (unsigned i = 0; b && i < b->nent; i++)
		if (!find_leaf(a, &b->entries[i], i))
			compare_leaf(walk, place, &b->entries[i], NULL, &b->entries[i]);
}

static void compare_one_cet(const Walk *walk, const Place *place, const char *name,
			    const uint64_t *x, const uint64_t *y)
{
	if ((x || y) && (!x || !y || *x != *y))
		add(walk, place, g_strdup_printf(".%s", name), x ? number(*x) : NULL,
		    y ? number(*y) : NULL);
}

/* CR0 and CR4 are copies: they travel with the segment registers. */
static void compare_cet(const Walk *walk, const Place *place, const CetState *a, const CetState *b)
{
	compare_one_cet(walk, place, "xss", a->has & CET_HAS_XSS ? &a->xss : NULL,
			b->has & CET_HAS_XSS ? &b->xss : NULL);
	for (unsigned i = 0; i < CET_N_REGS; i++)
		compare_one_cet(walk, place, cet_registers[i].name,
				a->has & 1u << i ? &a->value[i] : NULL,
				b->has & 1u << i ? &b->value[i] : NULL);
}

static void compare_group(const Walk *walk, const Place *within, const StateGroup *group,
			  const uint8_t *a, const uint8_t *b)
{
	for (unsigned i = 0; i < group->n_fields; i++) {
		const StateField *field = &group->fields[i];
		const uint8_t *x = a + field->offset, *y = b + field->offset;
		Place place = {within, field, field->flags | (within ? within->flags : 0)};

		switch (field->kind) {
		case FIELD_U8:
		case FIELD_U16:
		case FIELD_U32:
		case FIELD_U64:
			compare_numbers(walk, &place, a, b);
			break;
		case FIELD_BYTES:
			compare_bytes(walk, &place, x, field->count, y, field->count);
			break;
		case FIELD_BLOB: {
			const GByteArray *p = *(GByteArray *const *)x, *q = *(GByteArray *const *)y;

			compare_bytes(walk, &place, p->data, p->len, q->data, q->len);
			break;
		}
		case FIELD_GROUP:
			compare_group(walk, &place, field->group, x, y);
			break;
		case FIELD_MSRS:
			compare_msrs(walk, &place, *(GArray *const *)x, *(GArray *const *)y);
			break;
		case FIELD_CPUID:
			compare_cpuid(walk, &place, *(struct kvm_cpuid2 *const *)x,
				      *(struct kvm_cpuid2 *const *)y);
			break;
		case FIELD_CET:
			compare_cet(walk, &place, (const CetState *)x, (const CetState *)y);
			break;
		}
	}
}

void state_compare(const StateGroup *group, const void *a, const void *b, const char *prefix,
		   GPtrArray *differences)
{
	Walk walk = {prefix, differences};

	compare_group(&walk, NULL, group, a, b);
}

/* Something that only one of the two has. */
static void add_presence(GPtrArray *differences, char *path, bool in_a)
{
	StateDifference *difference = g_new0(StateDifference, 1);

	difference->path = path;
	difference->a = g_strdup(in_a ? "present" : "none");
	difference->b = g_strdup(in_a ? "none" : "present");
	g_ptr_array_add(differences, difference);
}

static void compare_vcpus(const MachineState *a, const MachineState *b, GPtrArray *differences)
{
	for (guint i = 0; i < MAX(a->vcpus->len, b->vcpus->len); i++) {
		g_autofree char *prefix = g_strdup_printf("vcpu %u: ", i);

		if (i < a->vcpus->len && i < b->vcpus->len)
			state_compare(&vcpu_state_group, a->vcpus->pdata[i], b->vcpus->pdata[i],
				      prefix, differences);
		else
			add_presence(differences, g_strdup_printf("vcpu %u", i), i < a->vcpus->len);
	}
}

static void compare_devices(const MachineState *a, const MachineState *b, GPtrArray *differences)
{
	for (guint i = 0; i < a->devices->len; i++) {
		const DeviceState *x = a->devices->pdata[i];
		const DeviceState *y = machine_state_find_device(b, x->kind->name);
		g_autofree char *prefix = g_strdup_printf("%s.", x->kind->name);

		if (y)
			state_compare(x->kind->group, x->data, y->data, prefix, differences);
		else
			add_presence(differences, g_strdup(x->kind->name), true);
	}
	for (guint i = 0; i < b->devices->len; i++) {
		const DeviceState *y = b->devices->pdata[i];

		if (!machine_state_find_device(a, y->kind->name))
			add_presence(differences, g_strdup(y->kind->name), false);
	}
}

GPtrArray *machine_state_compare(const MachineState *a, const MachineState *b)
{
	GPtrArray *differences = state_differences_create();

	state_compare(&machine_state_group, a, b, "", differences);
	compare_vcpus(a, b, differences);
	compare_devices(a, b, differences);
	return differences;
}
