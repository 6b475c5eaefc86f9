// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "base/layout.h"
#include "snapshot/state_tree.h"
#include "state_example.h"

#include <libfdt.h>
#include <string.h>

static GBytes *write_example(unsigned vcpus)
{
	g_autoptr(MachineState) state = state_example(vcpus, 64 * LAYOUT_MIB);
	g_autoptr(GError) error = NULL;
	GBytes *tree = state_tree_write(state, &error);

	g_assert_no_error(error);
	return tree;
}

static MachineState *read_bytes(GBytes *tree, GError **error)
{
	gsize size;
	const void *data = g_bytes_get_data(tree, &size);

	return state_tree_read(data, size, error);
}

static void test_round_trip(void)
{
	static const unsigned sizes[] = {1, 2, LAYOUT_CPUS_MAX};

	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autoptr(MachineState) state = state_example(sizes[i], 64 * LAYOUT_MIB);
		g_autoptr(GBytes) tree = write_example(sizes[i]);
		g_autoptr(GError) error = NULL;
		g_autoptr(MachineState) back = read_bytes(tree, &error);

		g_assert_no_error(error);
		state_assert_equal(state, back);
	}
}

/* A tree by libfdt's own judgement, with names where people look for them. */
static void test_names(void)
{
	g_autoptr(MachineState) state = state_example(2, 64 * LAYOUT_MIB);
	g_autoptr(GBytes) tree = write_example(2);
	const VcpuState *vcpu = state->vcpus->pdata[1];
	const void *fdt = g_bytes_get_data(tree, NULL);
	const fdt64_t *value;
	int size;

	g_assert_cmpint(fdt_check_full(fdt, g_bytes_get_size(tree)), ==, 0);
	value = fdt_getprop(fdt, fdt_path_offset(fdt, "/vcpus/vcpu-1/cet"), "guest_ssp", &size);
	g_assert_cmpint(size, ==, 8);
	g_assert_cmphex(fdt64_ld(value), ==, vcpu->cet.value[CET_GUEST_SSP]);
	value = fdt_getprop(fdt, fdt_path_offset(fdt, "/vcpus/vcpu-1/msrs"), "lstar", &size);
	g_assert_cmpint(size, ==, 8);
	g_assert_cmphex(fdt64_ld(value), ==,
			g_array_index(vcpu->msrs, struct kvm_msr_entry, 0).data);
	g_assert_nonnull(
		fdt_getprop(fdt, fdt_path_offset(fdt, "/machine/cpuid"), "0x00000007.1", &size));
	g_assert_cmpint(size, ==, 16);
	g_assert_cmpint(fdt_path_offset(fdt, "/devices/serial-1/receive"), >, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/state-tree/round-trip", test_round_trip);
	g_test_add_func("/state-tree/names", test_names);
	return g_test_run();
}
