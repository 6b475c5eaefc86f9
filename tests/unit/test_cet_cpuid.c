// SPDX-License-Identifier: MIT
#include "cet/cpuid.h"

#include <glib.h>

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* A CPU with CET as KVM 7.3 describes it: x87, SSE, AVX (component 2, 256 bytes at 576), CET_U
 * (11, 16 bytes) and CET_S (12, 24 bytes); 576 + 256 + 16 + 24 = 872 bytes compacted. */
static struct kvm_cpuid2 *cet_list(void)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{.function = 0x0, .eax = 0x1f},
		{.function = 0x7,
		 .index = 0,
		 .flags = INDEXED,
		 .eax = 1,
		 .ebx = 0xffff,
		 .ecx = 0xffffffff,
		 .edx = 0xffffffff},
		{.function = 0x7, .index = 1, .flags = INDEXED, .eax = 0x10, .edx = 0xffffffff},
		{.function = 0xd, .index = 0, .flags = INDEXED, .eax = 0x7, .ebx = 832, .ecx = 832},
		{.function = 0xd,
		 .index = 1,
		 .flags = INDEXED,
		 .eax = 0xf,
		 .ebx = 872,
		 .ecx = 0x1900},
		{.function = 0xd, .index = 2, .flags = INDEXED, .eax = 256, .ebx = 576},
		{.function = 0xd, .index = 11, .flags = INDEXED, .eax = 16, .ecx = 1},
		{.function = 0xd, .index = 12, .flags = INDEXED, .eax = 24, .ecx = 1},
		{.function = 0x14, .index = 0, .flags = INDEXED, .ebx = 0x1234},
		{.function = 0x80000001, .edx = 0x20000000},
	};
	struct kvm_cpuid2 *list = g_malloc0(sizeof(*list) + sizeof(entries));

	list->nent = G_N_ELEMENTS(entries);
	memcpy(list->entries, entries, sizeof(entries));
	return list;
}

static void test_features(void)
{
	g_autofree struct kvm_cpuid2 *list = cet_list();
	CetCpu cpu = cet_cpuid_features(list);

	g_assert_cmphex(cpu.features, ==,
			CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM | CET_FEATURE_XSAVES);
	g_assert_cmpuint(cpu.linear_bits, ==, 57);
	g_assert_cmphex(cpu.xss, ==, 0x1900);
}

static void test_features_one_by_one(void)
{
	g_autofree struct kvm_cpuid2 *list = cet_list();

	list->entries[1].ecx = 1u << 7;
	list->entries[1].edx = 0;
	list->entries[4].eax = 0x7; /* no XSAVES: then there is no XSS either */
	list->entries[9].edx = 0;
	g_assert_cmphex(cet_cpuid_features(list).features, ==, CET_FEATURE_SHSTK);
	g_assert_cmpuint(cet_cpuid_features(list).linear_bits, ==, 48);
	g_assert_cmphex(cet_cpuid_features(list).xss, ==, 0);

	list->entries[1].ecx = 0;
	list->entries[1].edx = 1u << 20;
	g_assert_cmphex(cet_cpuid_features(list).features, ==, CET_FEATURE_IBT);

	list->nent = 0;
	g_assert_cmphex(cet_cpuid_features(list).features, ==, 0);
	g_assert_cmpuint(cet_cpuid_features(list).linear_bits, ==, 48);
}

static void test_hide(void)
{
	g_autofree struct kvm_cpuid2 *list = cet_list();
	const struct kvm_cpuid_entry2 *entry;

	cet_cpuid_hide(list);
	g_assert_cmpuint(list->nent, ==, 8);

	entry = cet_cpuid_find(list, 0x7, 0);
	g_assert_cmphex(entry->ecx, ==, 0xffffff7f);
	g_assert_cmphex(entry->edx, ==, 0xffefffff);
	g_assert_cmphex(entry->ebx, ==, 0xffff);
	g_assert_cmphex(cet_cpuid_find(list, 0x7, 1)->edx, ==, 0xfffbffff);
	g_assert_cmphex(cet_cpuid_find(list, 0x7, 1)->eax, ==, 0x10);

	entry = cet_cpuid_find(list, 0xd, 1);
	g_assert_cmphex(entry->eax, ==, 0xf);
	g_assert_cmphex(entry->ecx, ==, 0x100); /* Intel PT's state is not ours to hide */
	g_assert_cmpuint(entry->ebx, ==, 832);
	g_assert_null(cet_cpuid_find(list, 0xd, 11));
	g_assert_null(cet_cpuid_find(list, 0xd, 12));

	/* What stood behind the removed entries is still there, and so is AVX. */
	g_assert_cmpuint(cet_cpuid_find(list, 0xd, 2)->eax, ==, 256);
	g_assert_cmphex(cet_cpuid_find(list, 0x14, 0)->ebx, ==, 0x1234);
	g_assert_cmphex(cet_cpuid_find(list, 0x80000001, 0)->edx, ==, 0x20000000);

	g_assert_cmphex(cet_cpuid_features(list).features, ==, CET_FEATURE_LM | CET_FEATURE_XSAVES);
}

/* A component that asks for 64-byte alignment starts there; one that does not, follows at once. */
static void test_hide_aligned_size(void)
{
	g_autofree struct kvm_cpuid2 *list = cet_list();

	list->entries[3].eax |= 1u << 9;  /* PKRU, 8 bytes at 832 */
	list->entries[3].eax |= 1u << 17; /* TILECFG, 64 bytes, aligned: at 896 */
	list->entries[6] =
		(struct kvm_cpuid_entry2){.function = 0xd, .index = 9, .flags = INDEXED, .eax = 8};
	list->entries[7] = (struct kvm_cpuid_entry2){
		.function = 0xd, .index = 17, .flags = INDEXED, .eax = 64, .ecx = 2};
	cet_cpuid_hide(list);
	g_assert_cmpuint(list->nent, ==, 10);
	g_assert_cmpuint(cet_cpuid_find(list, 0xd, 1)->ebx, ==, 960);
}

static void test_hide_twice_and_on_nothing(void)
{
	g_autofree struct kvm_cpuid2 *once = cet_list();
	g_autofree struct kvm_cpuid2 *twice = cet_list();
	struct kvm_cpuid2 empty = {.nent = 0};

	cet_cpuid_hide(once);
	cet_cpuid_hide(twice);
	cet_cpuid_hide(twice);
	g_assert_cmpmem(once->entries, once->nent * sizeof(*once->entries), twice->entries,
			twice->nent * sizeof(*twice->entries));
	cet_cpuid_hide(&empty);
	g_assert_cmpuint(empty.nent, ==, 0);
}

static void test_hide_without_compaction(void)
{
	g_autofree struct kvm_cpuid2 *list = cet_list();

	list->entries[4].eax = 0;
	list->entries[4].ebx = 0;
	cet_cpuid_hide(list);
	g_assert_cmpuint(cet_cpuid_find(list, 0xd, 1)->ebx, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cet/cpuid/features", test_features);
	g_test_add_func("/cet/cpuid/features-one-by-one", test_features_one_by_one);
	g_test_add_func("/cet/cpuid/hide", test_hide);
	g_test_add_func("/cet/cpuid/hide-aligned-size", test_hide_aligned_size);
	g_test_add_func("/cet/cpuid/hide-twice", test_hide_twice_and_on_nothing);
	g_test_add_func("/cet/cpuid/hide-without-compaction", test_hide_without_compaction);
	return g_test_run();
}
