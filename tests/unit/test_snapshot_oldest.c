// SPDX-License-Identifier: MIT
/*
 * The files that the first version of the format wrote stay readable. They are in data/,
 * compressed, and are never made anew; what is in them is told here.
 */
#include "base/layout.h"
#include "snapshot/snapshot.h"

#include <glib/gstdio.h>
#include <string.h>
#include <zlib.h>

#define RAM (4 * LAYOUT_MIB)

static char *unpack(const char *folder, const char *name)
{
	g_autofree char *packed = g_strdup_printf("%s/%s.gz", TEST_DATA, name);
	g_autofree char *bytes = g_malloc(2 * RAM);
	char *path = g_build_filename(folder, name, NULL);
	gzFile file = gzopen(packed, "rb");
	int n = gzread(file, bytes, 2 * RAM);

	g_assert_cmpint(n, ==, RAM + 2 * (int)LAYOUT_MIB);
	gzclose(file);
	g_assert_true(g_file_set_contents(path, bytes, n, NULL));
	return path;
}

static void assert_page(const Snapshot *snapshot, unsigned page, const char *text)
{
	char bytes[SNAPSHOT_PAGE], expected[SNAPSHOT_PAGE];

	for (unsigned i = 0; i < SNAPSHOT_PAGE; i++)
		expected[i] = *text ? text[i % strlen(text)] : '\0';
	g_assert_true(snapshot_read_ram(snapshot, (uint64_t)page * SNAPSHOT_PAGE, bytes,
					SNAPSHOT_PAGE, NULL));
	g_assert_cmpmem(bytes, SNAPSHOT_PAGE, expected, SNAPSHOT_PAGE);
}

static void assert_state(const MachineState *state, uint64_t rax)
{
	const VcpuState *vcpu = state->vcpus->pdata[0];
	const IoapicState *ioapic = machine_state_find_device(state, "ioapic")->data;

	g_assert_cmpuint(state->memory, ==, RAM);
	g_assert_cmpstr(state->kernel, ==, "7.3.4-oldest");
	g_assert_cmpuint(state->vcpus->len, ==, 1);
	g_assert_cmpuint(state->devices->len, ==, 4);
	g_assert_cmpuint(state->cpuid->nent, ==, 6);
	g_assert_cmphex(vcpu->regs.rax, ==, rax);
	g_assert_cmpuint(vcpu->tsc_khz, ==, 2100000);
	g_assert_cmpmem(vcpu->xsave->data, vcpu->xsave->len, "sixteen bytes ok", 16);
	g_assert_cmphex(vcpu->cet.value[CET_GUEST_SSP], ==, 0x7fff00000ff0);
	g_assert_cmphex(vcpu->cet.value[CET_U_CET], ==, 1);
	g_assert_cmpuint(vcpu->msrs->len, ==, 4);
	g_assert_cmphex(g_array_index(vcpu->msrs, struct kvm_msr_entry, 0).index, ==, 0xc0000082);
	g_assert_cmphex(g_array_index(vcpu->msrs, struct kvm_msr_entry, 0).data, ==,
			0xffffffff81000040);
	g_assert_cmphex(ioapic->entries[23], ==, 0x0200000000008931);
}

static void test_oldest(void)
{
	g_autofree char *folder = g_dir_make_tmp("umbra-snapshot-XXXXXX", NULL);
	g_autofree char *full = unpack(folder, "snapshot-v1-full");
	g_autofree char *increment = unpack(folder, "snapshot-v1-increment");
	g_autoptr(GError) error = NULL;
	g_autoptr(Snapshot) snapshot = snapshot_open(full, &error);
	g_autoptr(Snapshot) newer = NULL;

	g_assert_no_error(error);
	assert_state(snapshot_state(snapshot), 0x0123456789abcdef);
	assert_page(snapshot, 0, "first page ");
	assert_page(snapshot, 1, "");
	assert_page(snapshot, 600, "page 600 ");
	assert_page(snapshot, 1023, "last page ");
	g_assert_true(snapshot_verify_ram(snapshot, NULL, &error));

	newer = snapshot_open(increment, &error);
	g_assert_no_error(error);
	assert_state(snapshot_state(newer), 2);
	assert_page(newer, 0, "");
	assert_page(newer, 1, "second page ");
	assert_page(newer, 600, "page 600 again ");
	assert_page(newer, 1023, "last page ");
	g_assert_true(snapshot_verify_ram(newer, NULL, &error));
	g_remove(full);
	g_remove(increment);
	g_rmdir(folder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/snapshot-oldest/readable", test_oldest);
	return g_test_run();
}
