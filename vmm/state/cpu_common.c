// SPDX-License-Identifier: MIT
#include "state/cpu_common.h"

#include "base/error.h"
#include "cet/cpuid.h"
#include "state/cpu_features.h"

#include <string.h>

#define LEAF_XSTATE	 0xd
#define XSTATE_LEGACY	 576 /* bytes: the legacy area and the header (SDM 1, 13.4) */
#define XSTATE_NO_STATES 2   /* subleaves 0 and 1 are about all of them */

static const CpuidWord vmx_word = {0x1, 0, CPUID_ECX};
static const CpuidWord svm_word = {0x80000001, 0, CPUID_ECX};
static const CpuidWord ibt_word = {0x7, 0, CPUID_EDX};

#define VMX (1u << 5)
#define SVM (1u << 2)
#define IBT (1u << 20)

static void keep(struct kvm_cpuid2 *cpuid, const CpuidWord *at, uint32_t kept)
{
	struct kvm_cpuid_entry2 *leaf =
		(struct kvm_cpuid_entry2 *)cet_cpuid_find(cpuid, at->function, at->index);

	if (!leaf)
		return;
	uint32_t *const words[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};

	*words[at->reg] &= kept;
}

static void keep_smaller(struct kvm_cpuid2 *cpuid, const CpuNumber *number, const HostInfo *other)
{
	uint32_t mask = (1u << number->width) - 1;
	uint32_t mine = cpuid_word(cpuid, &number->at) >> number->low & mask;
	uint32_t there = cpuid_word(other->cpuid, &number->at) >> number->low & mask;
	struct kvm_cpuid_entry2 *leaf = (struct kvm_cpuid_entry2 *)cet_cpuid_find(
		cpuid, number->at.function, number->at.index);

	if (mine <= there)
		return;
	uint32_t *const words[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};

	*words[number->at.reg] &= ~(mask << number->low);
	*words[number->at.reg] |= there << number->low;
}

static void narrow_cet(struct kvm_cpuid2 *cpuid, const HostInfo *other)
{
	if (!host_info_has_cet(other))
		cet_cpuid_hide(cpuid);
	else if (!(other->cet.features & CET_FEATURE_IBT))
		keep(cpuid, &ibt_word, ~IBT);
}

static bool check_place(const struct kvm_cpuid2 *cpuid, const HostInfo *other, unsigned state,
			CpuidRegister reg, GError **error)
{
	const CpuidWord at = {LEAF_XSTATE, state, reg};
	uint32_t here = cpuid_word(cpuid, &at), there = cpuid_word(other->cpuid, &at);

	return here == there ||
	       umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
			  "state component %u has %s 0x%x in XSAVE's area here and 0x%x there: no "
			  "guest can move between two such CPUs (choose hosts with CPUs of the "
			  "same kind)",
			  state, reg == CPUID_EAX ? "the size" : "the place", here, there);
}

/* Guests reckon their areas from the states that are left; KVM does so in leaves 0xd.0 EBX and
 * 0xd.1 EBX (arch/x86/kvm/cpuid.c). */
static bool narrow_states(struct kvm_cpuid2 *cpuid, const HostInfo *other, GError **error)
{
	uint64_t user = cpuid_user_states(cpuid);
	uint64_t all = user | cpuid_supervisor_states(cpuid);
	uint32_t size = XSTATE_LEGACY;
	unsigned kept = 0;

	for (unsigned i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *leaf = &cpuid->entries[i];
		unsigned state = leaf->index;

		if (leaf->function == LEAF_XSTATE && state >= XSTATE_NO_STATES) {
			if (state > 62 || !(all >> state & 1))
				continue;
			if (!check_place(cpuid, other, state, CPUID_EAX, error) ||
			    (user >> state & 1 &&
			     !check_place(cpuid, other, state, CPUID_EBX, error)))
				return false;
			if (user >> state & 1)
				size = MAX(size, leaf->ebx + leaf->eax);
		}
		cpuid->entries[kept++] = *leaf;
	}
	cpuid->nent = kept;
	for (unsigned i = 0; i < kept; i++)
		if (cpuid->entries[i].function == LEAF_XSTATE && cpuid->entries[i].index == 0)
			cpuid->entries[i].ecx = size;
	return true;
}

static bool check_vendor(const struct kvm_cpuid2 *cpuid, const HostInfo *other, GError **error)
{
	char here[13], there[13];

	cpuid_vendor(cpuid, here);
	cpuid_vendor(other->cpuid, there);
	return strcmp(here, there) == 0 ||
	       umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
			  "its CPU is of %s and this host's of %s: no guest can move between the "
			  "two",
			  there, here);
}

bool cpu_common_narrow(struct kvm_cpuid2 *cpuid, const HostInfo *other, GError **error)
{
	if (other->access != HOST_KVM_USABLE || !other->cpuid)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "that host had no usable KVM when it was described");
	if (!check_vendor(cpuid, other, error))
		return false;
	for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++) {
		const CpuFeatureWord *word = &cpu_feature_words[i];

		keep(cpuid, &word->at, cpuid_word_offered(other, &word->at) | word->ignored);
	}
	for (unsigned i = 0; i < CPU_NUMBERS; i++)
		keep_smaller(cpuid, &cpu_numbers[i], other);
	keep(cpuid, &vmx_word, ~VMX);
	keep(cpuid, &svm_word, ~SVM);
	narrow_cet(cpuid, other);
	return narrow_states(cpuid, other, error);
}
