// SPDX-License-Identifier: MIT
/* CPUID lists as KVM speaks them; what they say of CET is in umbra/cet_cpu.h. */
#ifndef UMBRA_CET_CPUID_H
#define UMBRA_CET_CPUID_H

#include <linux/kvm.h>
#include <stdint.h>

#include "umbra/cet_cpu.h"

/* The entry of leaf `function`, subleaf `index` (ignored where the leaf has none), or NULL. */
const struct kvm_cpuid_entry2 *cet_cpuid_find(const struct kvm_cpuid2 *cpuid, uint32_t function,
					      uint32_t index);

#endif
