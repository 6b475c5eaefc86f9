// SPDX-License-Identifier: MIT
#include "kvm/cpuid.h"

#include "cet/cpuid.h"

#include <string.h>

enum {
	LEAF_BASIC = 0x1,
	LEAF_CACHE = 0x4,
	LEAF_TOPOLOGY = 0xb,
	LEAF_TOPOLOGY_V2 = 0x1f,
	LEAF_AMD_SIZES = 0x80000008,
	LEAF_AMD_CACHE = 0x8000001d,
	LEAF_AMD_TOPOLOGY = 0x8000001e,
};

#define BASIC_ECX_TSC_DEADLINE (1U << 24)
#define BASIC_ECX_HYPERVISOR   (1U << 31)
#define BASIC_EDX_HTT	       (1U << 28)

/* Level types in ECX[15:8] of the topology leaves. */
enum { LEVEL_THREAD = 1, LEVEL_CORE = 2 };

/* Bits of an APIC id that number `n` things. */
static unsigned id_bits(unsigned n)
{
	return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

static void drop_leaf(struct kvm_cpuid2 *cpuid, uint32_t function)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function != function)
			cpuid->entries[kept++] = cpuid->entries[i];
	cpuid->nent = kept;
}

static struct kvm_cpuid2 *append_topology(struct kvm_cpuid2 *cpuid, uint32_t function,
					  unsigned cpus)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{
			.function = function,
			.index = 0,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = 0,
			.ebx = 1,
			.ecx = LEVEL_THREAD << 8 | 0,
		},
		{
			.function = function,
			.index = 1,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = id_bits(cpus),
			.ebx = cpus,
			.ecx = LEVEL_CORE << 8 | 1,
		},
		{
			.function = function,
			.index = 2,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.ecx = 2,
		},
	};
	size_t size = sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);

	cpuid = g_realloc(cpuid, size + sizeof(levels));
	memcpy(&cpuid->entries[cpuid->nent], levels, sizeof(levels));
	cpuid->nent += G_N_ELEMENTS(levels);
	return cpuid;
}

/* Caches: level 3 is shared by all, the others belong to one core. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *entry, unsigned cpus, bool amd)
{
	unsigned level = (entry->eax >> 5) & 7;
	unsigned sharing = level >= 3 ? MIN(cpus, 4096U) - 1 : 0;

	entry->eax &= amd ? ~(0xfffU << 14) : ~(0xfffU << 14 | 0x3fU << 26);
	entry->eax |= sharing << 14;
	if (!amd)
		entry->eax |= MIN(cpus - 1, 63U) << 26;
}

struct kvm_cpuid2 *cpuid_for_machine(struct kvm_cpuid2 *supported, const KvmSystem *system,
				     unsigned cpus)
{
	struct kvm_cpuid2 *cpuid = supported;
	bool has_v2 = cet_cpuid_find(cpuid, LEAF_TOPOLOGY_V2, 0) != NULL;

	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case LEAF_BASIC:
			entry->ecx |= BASIC_ECX_HYPERVISOR;
			if (kvm_system_extension(system, KVM_CAP_TSC_DEADLINE_TIMER))
				entry->ecx |= BASIC_ECX_TSC_DEADLINE;
			entry->ebx = (entry->ebx & 0xff00ffffU) | cpus << 16;
			entry->edx &= ~BASIC_EDX_HTT;
			entry->edx |= cpus > 1 ? BASIC_EDX_HTT : 0;
			break;
		case LEAF_CACHE:
			set_cache_sharing(entry, cpus, false);
			break;
		case LEAF_AMD_CACHE:
			set_cache_sharing(entry, cpus, true);
			break;
		case LEAF_AMD_SIZES:
			entry->ecx = id_bits(cpus) << 12 | (cpus - 1);
			break;
		}
	}
	drop_leaf(cpuid, LEAF_TOPOLOGY);
	drop_leaf(cpuid, LEAF_TOPOLOGY_V2);
	cpuid = append_topology(cpuid, LEAF_TOPOLOGY, cpus);
	return has_v2 ? append_topology(cpuid, LEAF_TOPOLOGY_V2, cpus) : cpuid;
}

void cpuid_for_vcpu(struct kvm_cpuid2 *cpuid, unsigned apic_id)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case LEAF_BASIC:
			entry->ebx = (entry->ebx & 0x00ffffffU) | apic_id << 24;
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY_V2:
			entry->edx = apic_id;
			break;
		case LEAF_AMD_TOPOLOGY:
			entry->eax = apic_id;
			entry->ebx = apic_id & 0xff;
			entry->ecx = 0;
			break;
		}
	}
}
