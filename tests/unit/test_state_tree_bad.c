// SPDX-License-Identifier: MIT
/*
 * Trees with something removed, added, renamed, resized: refused by the name of what is
 * wrong. The tests take the writer's tree apart with libfdt and do the same to each item.
 */
#include "base/error.h"
#include "base/layout.h"
#include "snapshot/fdt_builder.h"
#include "snapshot/state_tree.h"
#include "state_example.h"

#include <libfdt.h>
#include <string.h>

#define UNKNOWN "not-known-here"

typedef struct Item {
	char *path; /* of its node, or of itself for a node */
	const char *name;
	bool is_node;
	int at, end; /* offsets in the structure block */
} Item;

static void item_clear(void *data)
{
	g_free(((Item *)data)->path);
}

static GByteArray *example(void)
{
	g_autoptr(MachineState) state = state_example(1, 64 * LAYOUT_MIB);
	GBytes *tree = state_tree_write(state, NULL);
	GByteArray *array = g_bytes_unref_to_array(tree);
	struct fdt_header *header = (struct fdt_header *)array->data;

	/* A name at the end that nobody has. */
	fdt_set_size_dt_strings(header, fdt_size_dt_strings(header) + sizeof(UNKNOWN));
	fdt_set_totalsize(header, fdt_totalsize(header) + sizeof(UNKNOWN));
	return g_byte_array_append(array, (const uint8_t *)UNKNOWN, sizeof(UNKNOWN));
}

/* All properties, and all nodes but the root. */
static GArray *list_items(const void *fdt)
{
	GArray *items = g_array_new(FALSE, TRUE, sizeof(Item));
	g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(int));
	char path[256];

	g_array_set_clear_func(items, item_clear);
	for (int at = 0, next, node = 0; at >= 0; at = next) {
		uint32_t tag = fdt_next_tag(fdt, at, &next);
		Item item = {.at = at, .end = next};
		int none = -1;

		if (tag == FDT_BEGIN_NODE) {
			node = at;
			if (at > 0) {
				fdt_get_path(fdt, at, path, sizeof(path));
				item.path = g_strdup(path);
				item.name = fdt_get_name(fdt, at, NULL);
				item.is_node = true;
				none = (int)items->len;
				g_array_append_val(items, item);
			}
			g_array_append_val(open, none);
		} else if (tag == FDT_PROP) {
			fdt_getprop_by_offset(fdt, at, &item.name, NULL);
			fdt_get_path(fdt, node, path, sizeof(path));
			item.path = g_strdup(path);
			g_array_append_val(items, item);
		} else if (tag == FDT_END_NODE) {
			none = g_array_index(open, int, open->len - 1);
			if (none >= 0)
				g_array_index(items, Item, none).end = next;
			g_array_set_size(open, open->len - 1);
		} else if (tag == FDT_END) {
			break;
		}
	}
	return items;
}

/* Replaces bytes of the structure block, and makes the tree's header fit. */
static GByteArray *splice(const GByteArray *tree, int at, int remove, const void *insert, int n)
{
	const struct fdt_header *old = (const struct fdt_header *)tree->data;
	unsigned place = fdt_off_dt_struct(old) + (unsigned)at;
	GByteArray *made = g_byte_array_new();
	struct fdt_header *header;

	g_byte_array_append(made, tree->data, place);
	g_byte_array_append(made, insert, (guint)n);
	g_byte_array_append(made, tree->data + place + remove, tree->len - place - (guint)remove);
	header = (struct fdt_header *)made->data;
	fdt_set_totalsize(header, made->len);
	fdt_set_off_dt_strings(header, fdt_off_dt_strings(old) + (uint32_t)(n - remove));
	fdt_set_size_dt_struct(header, fdt_size_dt_struct(old) + (uint32_t)(n - remove));
	g_assert_cmpint(fdt_check_full(made->data, made->len), ==, 0);
	return made;
}

/* Takes the tree. `why` NULL: it must be read. */
static void assert_read(GByteArray *tree, const char *name, const char *path, const char *why)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(MachineState) state = state_tree_read(tree->data, tree->len, &error);

	g_byte_array_unref(tree);
	if (!why) {
		g_assert_no_error(error);
		return;
	}
	g_assert_null(state);
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	if (!strstr(error->message, name) || !strstr(error->message, path) ||
	    !strstr(error->message, why))
		g_error("'%s' should name '%s' in '%s' and say '%s'", error->message, name, path,
			why);
}

/* Lists may be shorter; who took the snapshot need not be known, nor what is mostly 0. */
static bool is_optional(const Item *item)
{
	if (item->is_node)
		return g_str_has_suffix(item->path, "/power-0") ||
		       g_str_has_suffix(item->path, "/serial-1") ||
		       g_str_has_suffix(item->path, "/ioapic-0");
	return strcmp(item->name, "kernel") == 0 || strcmp(item->name, "traits") == 0 ||
	       g_str_has_suffix(item->path, "/cpuid") || g_str_has_suffix(item->path, "/msrs") ||
	       (g_str_has_suffix(item->path, "/cet") && strcmp(item->name, "cr0") != 0 &&
		strcmp(item->name, "cr4") != 0);
}

static const char *parent_of(const Item *item, char *path)
{
	g_strlcpy(path, item->path, 256);
	if (item->is_node)
		*strrchr(path, '/') = '\0';
	return path;
}

static void test_removed(void)
{
	g_autoptr(GByteArray) tree = example();
	g_autoptr(GArray) items = list_items(tree->data);
	char path[256];

	g_assert_cmpuint(items->len, >, 250);
	for (unsigned i = 0; i < items->len; i++) {
		const Item *item = &g_array_index(items, Item, i);
		const char *why = is_optional(item)			? NULL
				  : strcmp(item->name, "vcpu-0") == 0	? "there is none"
				  : strcmp(item->name, "serial-0") == 0 ? "next of its kind"
									: "is missing";

		assert_read(splice(tree, item->at, item->end - item->at, NULL, 0),
			    strcmp(item->name, "vcpu-0") == 0	  ? ""
			    : strcmp(item->name, "serial-0") == 0 ? "serial-1"
								  : item->name,
			    parent_of(item, path), why);
	}
}

static bool is_device(const Item *item)
{
	return item->is_node && g_str_has_prefix(item->path, "/devices/") &&
	       !strchr(item->path + strlen("/devices/"), '/');
}

static void test_twice(void)
{
	g_autoptr(GByteArray) tree = example();
	g_autoptr(GArray) items = list_items(tree->data);
	const uint8_t *nodes = tree->data + fdt_off_dt_struct(tree->data);
	char path[256];

	for (unsigned i = 0; i < items->len; i++) {
		const Item *item = &g_array_index(items, Item, i);
		const char *why = is_device(item)		      ? "next of its kind"
				  : strcmp(item->name, "vcpu-0") == 0 ? "next vCPU"
								      : "twice";

		assert_read(splice(tree, item->end, 0, nodes + item->at, item->end - item->at),
			    item->name, parent_of(item, path), why);
	}
}

static void test_renamed(void)
{
	g_autoptr(GByteArray) tree = example();
	g_autoptr(GArray) items = list_items(tree->data);
	fdt32_t offset = cpu_to_fdt32(fdt_size_dt_strings(tree->data) - sizeof(UNKNOWN));

	for (unsigned i = 0; i < items->len; i++) {
		const Item *item = &g_array_index(items, Item, i);
		char name[64] = UNKNOWN;
		size_t length = strlen(item->name);

		if (!item->is_node) {
			assert_read(splice(tree, item->at + 8, 4, &offset, 4), UNKNOWN, item->path,
				    "is not known");
			continue;
		}
		/* As long as the name it had, so that it fits. */
		memset(name, 'z', length);
		name[length] = '\0';
		assert_read(splice(tree, item->at + 4, (int)length, name, (int)length), name, "",
			    strcmp(item->name, "vcpu-0") == 0 ? "next vCPU"
			    : is_device(item)		      ? "does not know"
							      : "is not known");
	}
}

/* A cell more, a cell less. */
static void test_resized(void)
{
	g_autoptr(GByteArray) tree = example();
	g_autoptr(GArray) items = list_items(tree->data);
	const uint8_t *nodes = tree->data + fdt_off_dt_struct(tree->data);

	for (unsigned i = 0; i < items->len; i++) {
		const Item *item = &g_array_index(items, Item, i);
		const fdt32_t *length = (const fdt32_t *)(nodes + item->at + 4);
		const char *why = " long";

		if (item->is_node)
			continue;
		if (strcmp(item->name, "xsave") == 0)
			why = NULL;
		else if (strcmp(item->name, "compatible") == 0)
			why = "is not";
		else if (strcmp(item->name, "kernel") == 0)
			why = "is no name";
		for (int by = -4; by <= 4; by += 8) {
			uint32_t size = fdt32_ld(length) + (uint32_t)by;
			fdt32_t head[3] = {cpu_to_fdt32(FDT_PROP), cpu_to_fdt32(size),
					   ((const fdt32_t *)(nodes + item->at))[2]};
			g_autoptr(GByteArray) made = g_byte_array_new();
			int padded = (int)(size + 3) / 4 * 4;

			/* A string that is cut stays one only by chance of what follows. */
			g_byte_array_append(made, (const uint8_t *)head, sizeof(head));
			g_byte_array_append(made, nodes + item->at + 12, (guint)padded);
			assert_read(splice(tree, item->at, item->end - item->at, made->data,
					   (int)made->len),
				    item->name, item->path, why);
		}
	}
}

/* Numbers that their fields cannot hold: nobody may find them shortened in there. */
static void test_too_large(void)
{
	static const struct {
		const char *path;
		const char *name;
		uint32_t value;
		const char *why;
	} numbers[] = {
		{"/vcpus/vcpu-0/sregs/cs", "type", 0x100, "too large"},
		{"/vcpus/vcpu-0/sregs/cs", "selector", 0x10000, "too large"},
		{"/vcpus/vcpu-0/events", "nmi-masked", 0xffffffff, "too large"},
		{"/machine/host", "ignores-msrs", 2, "neither 0 nor 1"},
		{"/machine/host", "linear-bits", 256, "too large"},
		{"/devices/serial-0", "overrun", 2, "neither 0 nor 1"},
		{"/devices/serial-0", "thr-interrupt", 0x100, "neither 0 nor 1"},
		{"/devices/serial-1", "divisor", 0x100, "too large"},
		{"/devices/ioapic-0", "select", 0x100, "too large"},
		{"/vcpus/vcpu-0", "id", 1, "id is 1"},
		{"/", "compatible-version", 2, "newer umbra"},
		{"/", "compatible-version", 0, "is 0"},
	};
	g_autoptr(GByteArray) tree = example();

	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		GByteArray *made = g_byte_array_append(g_byte_array_new(), tree->data, tree->len);
		int node = fdt_path_offset(made->data, numbers[i].path);
		fdt32_t *cell = fdt_getprop_w(made->data, node, numbers[i].name, NULL);

		*cell = cpu_to_fdt32(numbers[i].value);
		assert_read(made, "", strcmp(numbers[i].path, "/") == 0 ? "" : numbers[i].path,
			    numbers[i].why);
	}
}

/* CET is judged by what stands beside it: that must be what is loaded. */
static void test_contradiction(void)
{
	static const char *const names[] = {"cr0", "cr4"};
	g_autoptr(GByteArray) tree = example();

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		GByteArray *made = g_byte_array_append(g_byte_array_new(), tree->data, tree->len);
		int node = fdt_path_offset(made->data, "/vcpus/vcpu-0/cet");
		uint8_t *value = fdt_getprop_w(made->data, node, names[i], NULL);

		value[7] ^= 1;
		assert_read(made, names[i], "/vcpus/vcpu-0", "differ");
	}
}

static void test_memory(void)
{
	static const uint64_t bad[] = {0, 4095, 64 * LAYOUT_MIB + 1, LAYOUT_RAM_MAX + 4096,
				       UINT64_MAX};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(MachineState) state = state_example(1, bad[i]);
		GBytes *tree = state_tree_write(state, NULL);

		assert_read(g_bytes_unref_to_array(tree), "memory", "/machine", "out of range");
	}
}

static void test_many_cpus(void)
{
	g_autoptr(MachineState) state = state_example(LAYOUT_CPUS_MAX + 1, 64 * LAYOUT_MIB);
	GBytes *tree = state_tree_write(state, NULL);

	assert_read(g_bytes_unref_to_array(tree), "", "/vcpus", "too many");
}

static void test_many_msrs(void)
{
	g_autoptr(MachineState) state = state_example(1, 64 * LAYOUT_MIB);
	VcpuState *vcpu = state->vcpus->pdata[0];

	for (unsigned i = 0; i <= 1024; i++) {
		struct kvm_msr_entry msr = {.index = 0x100000 + i};

		g_array_append_val(vcpu->msrs, msr);
	}
	assert_read(g_bytes_unref_to_array(state_tree_write(state, NULL)), "", "/vcpus/vcpu-0/msrs",
		    "too many");
}

/* What a terminal would take for a command is not shown as it is. */
static void test_evil_names(void)
{
	g_autoptr(GByteArray) tree = example();
	g_autoptr(GArray) items = list_items(tree->data);
	const Item *item = &g_array_index(items, Item, items->len - 1);
	fdt32_t offset = cpu_to_fdt32(fdt_size_dt_strings(tree->data) - sizeof(UNKNOWN));
	GByteArray *made = splice(tree, item->at + 8, 4, &offset, 4);

	memcpy(made->data + made->len - sizeof(UNKNOWN), "\033[2J\n", 5);
	assert_read(made, "\\033[2J\\n", "", "is not known");
}

/* Levels without end cost nothing: what is not known is not looked into. */
static void test_deep(void)
{
	g_auto(FdtBuilder) builder = {0};
	g_autoptr(GBytes) tree = NULL;
	const unsigned depth = 100000;

	fdt_builder_init(&builder);
	for (unsigned i = 0; i < depth; i++)
		fdt_builder_begin(&builder, i ? "machine" : "");
	for (unsigned i = 0; i < depth; i++)
		fdt_builder_end(&builder);
	tree = fdt_builder_bytes_of_tree(&builder);
	assert_read(g_bytes_unref_to_array(g_steal_pointer(&tree)), "'machine'", "/machine",
		    "is not known");
}

static void test_header(void)
{
	g_autoptr(GByteArray) tree = example();
	g_autoptr(GByteArray) behind = g_byte_array_new();

	for (unsigned n = 0; n < tree->len; n += n < 200 ? 1 : 97)
		assert_read(g_byte_array_append(g_byte_array_new(), tree->data, n), "", "",
			    "the device tree is damaged");
	g_byte_array_append(behind, tree->data, tree->len);
	g_byte_array_append(behind, tree->data, 4);
	assert_read(g_steal_pointer(&behind), "", "", "its size");
	fdt_set_version(tree->data, 16);
	assert_read(g_steal_pointer(&tree), "", "", "too old");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/state-tree-bad/removed", test_removed);
	g_test_add_func("/state-tree-bad/twice", test_twice);
	g_test_add_func("/state-tree-bad/renamed", test_renamed);
	g_test_add_func("/state-tree-bad/resized", test_resized);
	g_test_add_func("/state-tree-bad/too-large", test_too_large);
	g_test_add_func("/state-tree-bad/contradiction", test_contradiction);
	g_test_add_func("/state-tree-bad/memory", test_memory);
	g_test_add_func("/state-tree-bad/many-cpus", test_many_cpus);
	g_test_add_func("/state-tree-bad/many-msrs", test_many_msrs);
	g_test_add_func("/state-tree-bad/evil-names", test_evil_names);
	g_test_add_func("/state-tree-bad/deep", test_deep);
	g_test_add_func("/state-tree-bad/header", test_header);
	return g_test_run();
}
