// SPDX-License-Identifier: MIT
/* The CPU that two hosts have in common: held against what the check says of it there. */
#include "state/cpu_common.h"

#include "base/error.h"
#include "cet/cpuid.h"
#include "judged_example.h"
#include "state/check.h"
#include "state/cpu_features.h"

typedef struct Pair {
	MachineState *state; /* of a guest that was shown all of its host */
	HostInfo other;
} Pair;

static void pair_init(Pair *pair)
{
	pair->state = example_state();
	pair->other = (HostInfo){0};
	example_host(&pair->other);
}

static void pair_finish(Pair *pair)
{
	machine_state_destroy(pair->state);
	host_info_finish(&pair->other);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Pair, pair_finish)

static void narrow(Pair *pair)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(cpu_common_narrow(pair->state->cpuid, &pair->other, &error));
	g_assert_no_error(error);
}

/* How much of CPUID speaks against the guest over there. */
static unsigned count_problems(const Pair *pair)
{
	g_autoptr(GPtrArray) problems = machine_state_check(pair->state, &pair->other);
	unsigned n = 0;

	for (unsigned i = 0; i < problems->len; i++) {
		const StateProblem *problem = problems->pdata[i];

		if (g_str_has_prefix(problem->what, "cpuid")) {
			g_test_message("%s", problem->text);
			n++;
		}
	}
	return n;
}

static uint32_t *word_of(struct kvm_cpuid2 *cpuid, const CpuidWord *at)
{
	struct kvm_cpuid_entry2 *leaf =
		(struct kvm_cpuid_entry2 *)cet_cpuid_find(cpuid, at->function, at->index);

	if (!leaf)
		return NULL;
	uint32_t *const words[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};

	return words[at->reg];
}

/* Each feature that the guest has, lacking there by itself. */
static void test_every_feature(void)
{
	for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++)
		for (unsigned bit = 0; bit < 32; bit++) {
			const CpuFeatureWord *word = &cpu_feature_words[i];
			g_auto(Pair) pair;

			pair_init(&pair);
			example_set_capability(&pair.other, KVM_CAP_TSC_DEADLINE_TIMER, 0);
			uint32_t *there = word_of(pair.other.cpuid, &word->at);

			if (!there || word->ignored >> bit & 1 || !(*there >> bit & 1))
				continue;
			*there &= ~(1u << bit);
			g_assert_cmpuint(count_problems(&pair), >, 0);
			narrow(&pair);
			g_assert_cmpuint(count_problems(&pair), ==, 0);
			g_assert_cmphex(cpuid_word(pair.state->cpuid, &word->at), ==,
					*there & ~(i == 0 ? 1u << 5 : 0));
		}
}

/* What both have stays, but for VMX; more than the guest was shown is not given. */
static void test_same_host(void)
{
	g_auto(Pair) pair;

	pair_init(&pair);
	g_autofree struct kvm_cpuid2 *before = example_cpuid();

	example_leaf(pair.other.cpuid, 7, 0)->ebx = UINT32_MAX;
	example_leaf(pair.other.cpuid, 1, 0)->ecx |= 1u << 5;
	example_leaf(before, 1, 0)->ecx &= ~(1u << 5);
	example_leaf(pair.state->cpuid, 1, 0)->ecx |= 1u << 5;
	narrow(&pair);
	g_assert_cmpmem(pair.state->cpuid->entries, sizeof(example_leaves), before->entries,
			sizeof(example_leaves));
}

static void test_numbers(void)
{
	g_auto(Pair) pair;

	pair_init(&pair);
	example_leaf(pair.other.cpuid, 0xa, 0)->eax = 0x7300602;
	example_leaf(pair.other.cpuid, 0x80000008, 0)->eax = 0x3027;
	g_assert_cmpuint(count_problems(&pair), ==, 2);
	narrow(&pair);
	g_assert_cmpuint(count_problems(&pair), ==, 0);
	g_assert_cmphex(example_leaf(pair.state->cpuid, 0xa, 0)->eax, ==, 0x7300602);
	g_assert_cmphex(example_leaf(pair.state->cpuid, 0x80000008, 0)->eax, ==, 0x3027);
}

/* Without AVX-512 the area ends with AVX: 0x240 + 0x100 bytes. */
static void test_xsave(void)
{
	g_auto(Pair) pair;

	pair_init(&pair);
	example_leaf(pair.other.cpuid, 0xd, 0)->eax = 7;
	narrow(&pair);
	g_assert_cmpuint(count_problems(&pair), ==, 0);
	g_assert_cmphex(example_leaf(pair.state->cpuid, 0xd, 0)->eax, ==, 7);
	g_assert_cmphex(example_leaf(pair.state->cpuid, 0xd, 0)->ecx, ==, 0x340);
	g_assert_nonnull(cet_cpuid_find(pair.state->cpuid, 0xd, 2));
	g_assert_null(cet_cpuid_find(pair.state->cpuid, 0xd, 5));
	g_assert_nonnull(cet_cpuid_find(pair.state->cpuid, 0xd, 12));
}

/* Shadow stacks whose SSP stays behind are none; IBT alone can be missing alone. */
static void test_cet(void)
{
	g_auto(Pair) no_ssp;
	g_auto(Pair) no_ibt;

	pair_init(&no_ssp);
	pair_init(&no_ibt);
	no_ssp.other.guest_ssp = false;
	narrow(&no_ssp);
	g_assert_cmphex(cet_cpuid_features(no_ssp.state->cpuid).features &
				(CET_FEATURE_SHSTK | CET_FEATURE_IBT),
			==, 0);
	g_assert_null(cet_cpuid_find(no_ssp.state->cpuid, 0xd, 12));
	example_leaf(no_ibt.other.cpuid, 7, 0)->edx &= ~(1u << 20);
	no_ibt.other.cet = cet_cpuid_features(no_ibt.other.cpuid);
	narrow(&no_ibt);
	g_assert_cmphex(cet_cpuid_features(no_ibt.state->cpuid).features &
				(CET_FEATURE_SHSTK | CET_FEATURE_IBT),
			==, CET_FEATURE_SHSTK);
}

static void assert_refused(Pair *pair, const char *text)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(cpu_common_narrow(pair->state->cpuid, &pair->other, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INCOMPATIBLE);
	g_assert_nonnull(strstr(error->message, text));
}

static void test_refused(void)
{
	g_auto(Pair) vendor;
	g_auto(Pair) place;
	g_auto(Pair) no_kvm;

	pair_init(&vendor);
	pair_init(&place);
	pair_init(&no_kvm);
	memcpy(&example_leaf(vendor.other.cpuid, 0, 0)->ebx, "Auth", 4);
	assert_refused(&vendor, "its CPU is of AuthineIntel and this host's of GenuineIntel");
	example_leaf(place.other.cpuid, 0xd, 5)->ebx = 0x3c0;
	assert_refused(&place, "state component 5 has the place 0x440 in XSAVE's area here and "
			       "0x3c0 there");
	no_kvm.other.access = HOST_KVM_DENIED;
	assert_refused(&no_kvm, "no usable KVM");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cpu_common/every-feature", test_every_feature);
	g_test_add_func("/cpu_common/same-host", test_same_host);
	g_test_add_func("/cpu_common/numbers", test_numbers);
	g_test_add_func("/cpu_common/xsave", test_xsave);
	g_test_add_func("/cpu_common/cet", test_cet);
	g_test_add_func("/cpu_common/refused", test_refused);
	return g_test_run();
}
