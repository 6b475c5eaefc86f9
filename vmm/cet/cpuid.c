// SPDX-License-Identifier: MIT
#include "cet/cpuid.h"

#include <stddef.h>
#include <string.h>

#define BIT(n) (1u << (n))

enum {
	LEAF_STRUCTURED = 0x7,
	LEAF_XSTATE = 0xd,
	LEAF_EXTENDED = 0x80000001,
	XSTATE_CET_USER = 11,
	XSTATE_CET_SUPERVISOR = 12,
	XSTATE_FIRST_EXTENDED = 2, /* x87 and SSE lie in the legacy area */
};

/* The legacy area and the header of an XSAVE area; components follow (SDM vol. 1, 13.4). */
static const uint32_t xsave_fixed_size = 512 + 64;

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != function)
			continue;
		if (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == index)
			return entry;
	}
	return NULL;
}

const struct kvm_cpuid_entry2 *cet_cpuid_find(const struct kvm_cpuid2 *cpuid, uint32_t function,
					      uint32_t index)
{
	/* find() changes nothing; only its callers below do. */
	return find((struct kvm_cpuid2 *)cpuid, function, index);
}

CetCpu cet_cpuid_features(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *structured = cet_cpuid_find(cpuid, LEAF_STRUCTURED, 0);
	const struct kvm_cpuid_entry2 *xstate = cet_cpuid_find(cpuid, LEAF_XSTATE, 1);
	const struct kvm_cpuid_entry2 *extended = cet_cpuid_find(cpuid, LEAF_EXTENDED, 0);
	CetCpu cpu = {.linear_bits = 48};

	if (structured && structured->ecx & BIT(7))
		cpu.features |= CET_FEATURE_SHSTK;
	if (structured && structured->edx & BIT(20))
		cpu.features |= CET_FEATURE_IBT;
	if (structured && structured->ecx & BIT(16))
		cpu.linear_bits = 57;
	if (extended && extended->edx & BIT(29))
		cpu.features |= CET_FEATURE_LM;
	if (xstate && xstate->eax & BIT(3)) {
		cpu.features |= CET_FEATURE_XSAVES;
		cpu.xss = (uint64_t)xstate->edx << 32 | xstate->ecx;
	}
	return cpu;
}

/* Bytes of a compacted XSAVE area that holds every component of `mask` the list describes. */
static uint32_t compacted_size(struct kvm_cpuid2 *cpuid, uint64_t mask)
{
	uint32_t size = xsave_fixed_size;

	for (uint32_t i = XSTATE_FIRST_EXTENDED; i < 63; i++) {
		const struct kvm_cpuid_entry2 *component;

		if (!(mask >> i & 1))
			continue;
		component = find(cpuid, LEAF_XSTATE, i);
		if (!component)
			continue;
		if (component->ecx & BIT(1))
			size = (size + 63) & ~63u;
		size += component->eax;
	}
	return size;
}

static void remove_subleaf(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	struct kvm_cpuid_entry2 *entry = find(cpuid, function, index);

	if (!entry)
		return;
	cpuid->nent--;
	memmove(entry, entry + 1, (size_t)(&cpuid->entries[cpuid->nent] - entry) * sizeof(*entry));
}

void cet_cpuid_hide(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *structured = find(cpuid, LEAF_STRUCTURED, 0);
	struct kvm_cpuid_entry2 *structured_1 = find(cpuid, LEAF_STRUCTURED, 1);
	struct kvm_cpuid_entry2 *xstate, *xstate_1;

	if (structured) {
		structured->ecx &= ~BIT(7);
		structured->edx &= ~BIT(20);
	}
	if (structured_1 && structured_1 != structured)
		structured_1->edx &= ~BIT(18);

	/* Entries move when one is removed: take pointers only afterwards. */
	remove_subleaf(cpuid, LEAF_XSTATE, XSTATE_CET_USER);
	remove_subleaf(cpuid, LEAF_XSTATE, XSTATE_CET_SUPERVISOR);

	xstate = find(cpuid, LEAF_XSTATE, 0);
	xstate_1 = find(cpuid, LEAF_XSTATE, 1);
	if (!xstate || !xstate_1)
		return;
	xstate_1->ecx &= ~(BIT(XSTATE_CET_USER) | BIT(XSTATE_CET_SUPERVISOR));
	/* KVM recomputes this from the guest's XCR0 and XSS; a list that is shown, compared or
	 * stored must not speak of bytes that no component has. Zero means: no compaction. */
	if (xstate_1->ebx)
		xstate_1->ebx = compacted_size(
			cpuid, ((uint64_t)xstate->edx << 32 | xstate->eax) |
				       ((uint64_t)xstate_1->edx << 32 | xstate_1->ecx));
}
