// SPDX-License-Identifier: MIT
/*
 * make_states FOLDER: the files with which test_files.py tests commands: snapshots of a
 * made-up guest, and the descriptions of the host that it came from and of others.
 *
 *	full.snap     two vCPUs, the first in ring 3 with a shadow stack of three entries
 *	next.snap     continues it: one more call, so that the stack's page and SSP differ
 *	lost.snap     its u_cet is a value that KVM takes and loses
 *	later.snap    full.snap, a timer's count later
 *	single.snap   full.snap without its second vCPU
 *	large.snap    full.snap with one more page of RAM
 *	host.json     the host it came from
 *	plain.json    the same without CET
 *	small.json    the same without AVX-512
 *	none.json     a host without KVM
 */
#include "../unit/judged_example.h"
#include "cet/cpuid.h"
#include "base/layout.h"
#include "inspect/host_text.h"
#include "mem/guest_memory.h"
#include "snapshot/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#define P      0x01UL
#define W      0x02UL
#define U      0x04UL
#define D      0x40UL

#define L4     0x1234000UL /* the example's CR3 */
#define L3     0x1235000UL
#define L2     0x1236000UL
#define L1     0x1237000UL
#define STACK  0x1238000UL
#define LINEAR 0x7fff00000000UL /* of the shadow stack's page: indices 255, 508, 0, 0 */

static void put(GuestMemory *memory, uint64_t gpa, uint64_t value)
{
	g_assert_true(guest_memory_write(memory, gpa, &value, sizeof(value)));
}

static void fill_memory(GuestMemory *memory)
{
	put(memory, L4 + 8 * 255, L3 | P | W | U);
	put(memory, L3 + 8 * 508, L2 | P | W | U);
	put(memory, L2, L1 | P | W | U);
	put(memory, L1, STACK | P | U | D);
	/* From 0xfe8 upwards: the youngest first. */
	put(memory, STACK + 0xfe8, 0x401110);
	put(memory, STACK + 0xff0, 0x401220);
	put(memory, STACK + 0xff8, 0x401330);
}

static void check(bool done, const GError *error)
{
	if (done)
		return;
	fprintf(stderr, "make_states: %s\n", error->message);
	exit(1);
}

static void save(const char *folder, const char *name, const MachineState *state,
		 const GuestMemory *memory, const char *parent)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);
	g_autofree char *older = parent ? g_build_filename(folder, parent, NULL) : NULL;
	const SnapshotRam ram = {.bytes = memory->base, .size = memory->size, .anonymous = true};
	g_autoptr(GError) error = NULL;
	SnapshotSummary summary;

	check(snapshot_save(path, state, &ram, older, NULL, &summary, &error), error);
}

static void save_states(const char *folder)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(MachineState) state = example_state();
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, &error);
	VcpuState *first = state->vcpus->pdata[0];

	check(memory != NULL, error);
	state->memory = memory->size;
	fill_memory(memory);
	first->cet.value[CET_GUEST_SSP] = LINEAR + 0xfe8;
	save(folder, "full.snap", state, memory, NULL);
	put(memory, STACK + 0xfe0, 0x401001);
	first->cet.value[CET_GUEST_SSP] = LINEAR + 0xfe0;
	save(folder, "next.snap", state, memory, "full.snap");
	first->cet.value[CET_U_CET] = 0x8000000000000004;
	save(folder, "lost.snap", state, memory, NULL);
}

static void save_variants(const char *folder)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(MachineState) state = example_state();
	g_autoptr(GuestMemory) memory = guest_memory_create(64 * LAYOUT_MIB, &error);
	g_autoptr(GuestMemory) large = guest_memory_create(64 * LAYOUT_MIB + 4096, &error);
	VcpuState *first = state->vcpus->pdata[0], *second = state->vcpus->pdata[1];

	check(memory && large, error);
	fill_memory(memory);
	first->cet.value[CET_GUEST_SSP] = LINEAR + 0xfe8;
	state->memory = large->size;
	save(folder, "large.snap", state, large, NULL);
	state->memory = memory->size;
	second->lapic.regs[0x390] = 1; /* the timer's current count */
	save(folder, "later.snap", state, memory, NULL);
	g_ptr_array_set_size(state->vcpus, 1);
	save(folder, "single.snap", state, memory, NULL);
}

static void describe(const char *folder, const char *name, const HostInfo *host)
{
	g_autofree char *path = g_build_filename(folder, name, NULL), *text = host_json(host);
	g_autoptr(GError) error = NULL;

	check(g_file_set_contents(path, text, -1, &error), error);
}

static void describe_hosts(const char *folder)
{
	g_auto(HostInfo) host = {0}, small = {0}, plain = {0}, none = {0};

	example_host(&host);
	describe(folder, "host.json", &host);

	example_host(&small);
	example_leaf(small.cpuid, 0x7, 0)->ebx &= ~(1u << 16 | 1u << 17);
	describe(folder, "small.json", &small);

	example_host(&plain);
	cet_cpuid_hide(plain.cpuid);
	plain.cet = cet_cpuid_features(plain.cpuid);
	plain.guest_ssp = false;
	describe(folder, "plain.json", &plain);

	none.access = HOST_KVM_ABSENT;
	none.path = g_strdup("/dev/kvm");
	none.kernel = g_strdup("6.12.0");
	none.reason = g_strdup("/dev/kvm: No such file or directory");
	describe(folder, "none.json", &none);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	save_states(argv[1]);
	save_variants(argv[1]);
	describe_hosts(argv[1]);
	return 0;
}
