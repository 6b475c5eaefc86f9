// SPDX-License-Identifier: MIT
/* Features of the CPU that a guest was shown and a host lacks: one by one, each by its name. */
#include "judged_example.h"
#include "state/check.h"
#include "state/cpu_features.h"

/* Manuals' numbers and Linux's names, beside the table: it must not be held against itself. */
static const struct {
	uint32_t function, index;
	CpuidRegister reg;
	unsigned bit;
	const char *what, *name;
} features[] = {
	{0x1, 0, CPUID_ECX, 0, "cpuid 1 ecx", "sse3"},
	{0x1, 0, CPUID_ECX, 12, "cpuid 1 ecx", "fma"},
	{0x1, 0, CPUID_ECX, 21, "cpuid 1 ecx", "x2apic"},
	{0x1, 0, CPUID_ECX, 28, "cpuid 1 ecx", "avx"},
	{0x1, 0, CPUID_ECX, 30, "cpuid 1 ecx", "rdrand"},
	{0x1, 0, CPUID_EDX, 26, "cpuid 1 edx", "sse2"},
	{0x6, 0, CPUID_EAX, 2, "cpuid 6 eax", "arat"},
	{0x7, 0, CPUID_EBX, 0, "cpuid 7.0 ebx", "fsgsbase"},
	{0x7, 0, CPUID_EBX, 5, "cpuid 7.0 ebx", "avx2"},
	{0x7, 0, CPUID_EBX, 16, "cpuid 7.0 ebx", "avx512f"},
	{0x7, 0, CPUID_EBX, 29, "cpuid 7.0 ebx", "sha_ni"},
	{0x7, 0, CPUID_EBX, 31, "cpuid 7.0 ebx", "avx512vl"},
	{0x7, 0, CPUID_ECX, 3, "cpuid 7.0 ecx", "pku"},
	{0x7, 0, CPUID_ECX, 10, "cpuid 7.0 ecx", "vpclmulqdq"},
	{0x7, 0, CPUID_ECX, 16, "cpuid 7.0 ecx", "la57"},
	{0x7, 0, CPUID_ECX, 31, "cpuid 7.0 ecx", "pks"},
	{0x7, 0, CPUID_EDX, 4, "cpuid 7.0 edx", "fsrm"},
	{0x7, 0, CPUID_EDX, 10, "cpuid 7.0 edx", "md_clear"},
	{0x7, 0, CPUID_EDX, 14, "cpuid 7.0 edx", "serialize"},
	{0x7, 0, CPUID_EDX, 26, "cpuid 7.0 edx", "spec_ctrl"},
	{0x7, 0, CPUID_EDX, 31, "cpuid 7.0 edx", "spec_ctrl_ssbd"},
	{0x7, 1, CPUID_EAX, 4, "cpuid 7.1 eax", "avx_vnni"},
	{0x7, 1, CPUID_EAX, 17, "cpuid 7.1 eax", "fred"},
	{0x7, 1, CPUID_EDX, 18, "cpuid 7.1 edx", "cet_sss"},
	{0x7, 2, CPUID_EDX, 4, "cpuid 7.2 edx", "bhi_ctrl"},
	{0xd, 1, CPUID_EAX, 3, "cpuid d.1 eax", "xsaves"},
	{0xd, 1, CPUID_EAX, 4, "cpuid d.1 eax", "xfd"},
	{0x80000001, 0, CPUID_ECX, 2, "cpuid 80000001 ecx", "svm"},
	{0x80000001, 0, CPUID_ECX, 6, "cpuid 80000001 ecx", "sse4a"},
	{0x80000001, 0, CPUID_EDX, 20, "cpuid 80000001 edx", "nx"},
	{0x80000001, 0, CPUID_EDX, 27, "cpuid 80000001 edx", "rdtscp"},
	{0x80000007, 0, CPUID_EDX, 8, "cpuid 80000007 edx", "invariant_tsc"},
	{0x80000008, 0, CPUID_EBX, 9, "cpuid 80000008 ebx", "wbnoinvd"},
	{0x80000008, 0, CPUID_EBX, 12, "cpuid 80000008 ebx", "amd_ibpb"},
	{0x80000008, 0, CPUID_EBX, 24, "cpuid 80000008 ebx", "amd_ssbd"},
	{0x80000021, 0, CPUID_EAX, 2, "cpuid 80000021 eax", "lfence_rdtsc"},
	{0x80000021, 0, CPUID_EAX, 8, "cpuid 80000021 eax", "autoibrs"},
	{0x40000001, 0, CPUID_EAX, 3, "cpuid 40000001 eax", "kvmclock2"},
	{0x40000001, 0, CPUID_EAX, 11, "cpuid 40000001 eax", "kvm_pv_ipi"},
	{0x40000001, 0, CPUID_EAX, 24, "cpuid 40000001 eax", "kvmclock_stable"},
};

/* The leaf, which is appended where the example has none. */
static struct kvm_cpuid_entry2 *make_leaf(struct kvm_cpuid2 **cpuid, uint32_t function,
					  uint32_t index)
{
	for (unsigned i = 0; i < (*cpuid)->nent; i++)
		if ((*cpuid)->entries[i].function == function &&
		    (*cpuid)->entries[i].index == index)
			return &(*cpuid)->entries[i];
	*cpuid = g_realloc(*cpuid,
			   sizeof(**cpuid) + ((*cpuid)->nent + 1) * sizeof((*cpuid)->entries[0]));
	struct kvm_cpuid_entry2 *leaf = &(*cpuid)->entries[(*cpuid)->nent++];

	*leaf = (struct kvm_cpuid_entry2){.function = function,
					  .index = index,
					  .flags = function < 0x20 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
								   : 0};
	return leaf;
}

static void set_bit(struct kvm_cpuid2 **cpuid, uint32_t function, uint32_t index, CpuidRegister reg,
		    unsigned bit, bool value)
{
	struct kvm_cpuid_entry2 *leaf = make_leaf(cpuid, function, index);
	uint32_t *const words[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};
	uint32_t *word = words[reg];

	*word = value ? *word | 1u << bit : *word & ~(1u << bit);
}

/* A feature that the guest has and the host lacks is one problem, with its name, and no other. */
static void test_features(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
		g_autoptr(MachineState) state = example_state();
		g_auto(HostInfo) host = {0};

		example_host(&host);
		example_set_capability(&host, KVM_CAP_TSC_DEADLINE_TIMER, 0);
		set_bit(&state->cpuid, features[i].function, features[i].index, features[i].reg,
			features[i].bit, true);
		set_bit(&host.cpuid, features[i].function, features[i].index, features[i].reg,
			features[i].bit, false);
		/* Control bits that need the feature are not what this is about. */
		for (unsigned j = 0; j < state->vcpus->len; j++)
			((VcpuState *)state->vcpus->pdata[j])->sregs.cr4 = 0x800070;
		g_autoptr(GPtrArray) problems = machine_state_check(state, &host);
		g_assert_cmpuint(problems->len, ==, 1);
		const StateProblem *problem = problems->pdata[0];
		g_autofree char *name = g_strdup_printf("(%s) ", features[i].name);

		g_test_message("%s", problem->text);
		g_assert_cmpint(problem->vcpu, ==, -1);
		g_assert_cmpstr(problem->what, ==, features[i].what);
		g_assert_cmphex(problem->bits, ==, 1ULL << features[i].bit);
		g_assert_cmpint(problem->kvm, ==, REG_ACCEPTS);
		g_assert_true(g_str_has_prefix(problem->rule, name));
	}
}

/* Every bit of every word, but those that are left out on purpose. */
static void test_every_bit(void)
{
	for (size_t i = 0; i < CPU_FEATURE_WORDS; i++) {
		const CpuFeatureWord *word = &cpu_feature_words[i];

		for (unsigned bit = 0; bit < 32; bit++) {
			g_autoptr(MachineState) state = example_state();
			g_auto(HostInfo) host = {0};
			unsigned n = 0;

			example_host(&host);
			example_set_capability(&host, KVM_CAP_TSC_DEADLINE_TIMER, 0);
			set_bit(&state->cpuid, word->at.function, word->at.index, word->at.reg, bit,
				true);
			set_bit(&host.cpuid, word->at.function, word->at.index, word->at.reg, bit,
				false);
			g_autoptr(GPtrArray) problems = machine_state_check(state, &host);

			for (unsigned j = 0; j < problems->len; j++) {
				const StateProblem *problem = problems->pdata[j];

				n += problem->vcpu < 0 && problem->bits == 1ULL << bit;
			}
			g_assert_cmpuint(n, ==, word->ignored >> bit & 1 ? 0 : 1);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/state_features/named", test_features);
	g_test_add_func("/state_features/every-bit", test_every_bit);
	return g_test_run();
}
