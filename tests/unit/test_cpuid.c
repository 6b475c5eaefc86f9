// SPDX-License-Identifier: MIT
/* Expectations are worked out by hand from the SDM's tables for CPUID. */
#include "kvm/cpuid.h"

#include "cet/cpuid.h"

#include <string.h>

static struct kvm_cpuid2 *make_list(void)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{.function = 1, .ebx = 0x07100800, .ecx = 0, .edx = 0x10000001},
		{.function = 4,
		 .index = 0,
		 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		 .eax = 0xfc004121},
		{.function = 4,
		 .index = 3,
		 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		 .eax = 0xfc1fc163},
		{.function = 0xb, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .edx = 99},
		{.function = 0x80000008, .eax = 0x302e, .ecx = 0x7007},
	};
	struct kvm_cpuid2 *list = g_malloc0(sizeof(*list) + sizeof(entries));

	list->nent = G_N_ELEMENTS(entries);
	memcpy(list->entries, entries, sizeof(entries));
	return list;
}

static const struct kvm_cpuid_entry2 *leaf(struct kvm_cpuid2 *list, uint32_t function,
					   uint32_t index)
{
	const struct kvm_cpuid_entry2 *entry = cet_cpuid_find(list, function, index);

	g_assert_nonnull(entry);
	return entry;
}

static void test_one_cpu(void)
{
	KvmSystem none = {.fd = -1};
	g_autofree struct kvm_cpuid2 *list = cpuid_for_machine(make_list(), &none, 1);

	cpuid_for_vcpu(list, 0);
	/* One logical processor, id 0; a hypervisor is present; no HTT. */
	g_assert_cmphex(leaf(list, 1, 0)->ebx, ==, 0x00010800);
	g_assert_cmphex(leaf(list, 1, 0)->ecx, ==, 0x80000000);
	g_assert_cmphex(leaf(list, 1, 0)->edx, ==, 0x00000001);
	g_assert_cmphex(leaf(list, 0xb, 1)->eax, ==, 0);
	g_assert_cmphex(leaf(list, 0x80000008, 0)->ecx, ==, 0);
}

static void test_six_cpus(void)
{
	KvmSystem none = {.fd = -1};
	g_autofree struct kvm_cpuid2 *list = cpuid_for_machine(make_list(), &none, 6);

	cpuid_for_vcpu(list, 5);
	g_assert_cmphex(leaf(list, 1, 0)->ebx, ==, 0x05060800);
	g_assert_cmphex(leaf(list, 1, 0)->edx, ==, 0x10000001);
	/* L1: one core's own, six cores in the package. L3: shared by six. */
	g_assert_cmphex(leaf(list, 4, 0)->eax, ==, 0x14000121);
	g_assert_cmphex(leaf(list, 4, 3)->eax, ==, 0x14014163);
	/* Threads: one per core, no id bits; cores: six, three id bits. */
	g_assert_cmphex(leaf(list, 0xb, 0)->eax, ==, 0);
	g_assert_cmphex(leaf(list, 0xb, 0)->ebx, ==, 1);
	g_assert_cmphex(leaf(list, 0xb, 0)->ecx, ==, 0x100);
	g_assert_cmphex(leaf(list, 0xb, 1)->eax, ==, 3);
	g_assert_cmphex(leaf(list, 0xb, 1)->ebx, ==, 6);
	g_assert_cmphex(leaf(list, 0xb, 1)->ecx, ==, 0x201);
	g_assert_cmphex(leaf(list, 0xb, 1)->edx, ==, 5);
	g_assert_cmphex(leaf(list, 0xb, 2)->ecx, ==, 2);
	g_assert_cmphex(leaf(list, 0x80000008, 0)->ecx, ==, 0x3005);
	/* A host without leaf 1FH does not get one. */
	g_assert_null(cet_cpuid_find(list, 0x1f, 0));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cpuid/one-cpu", test_one_cpu);
	g_test_add_func("/cpuid/six-cpus", test_six_cpus);
	return g_test_run();
}
