// SPDX-License-Identifier: MIT
/*
 * What a CPUID list says about CET, and how to take CET out of one. CPUID tells a
 * guest of CET in several leaves that must agree; everything here keeps them so.
 */
#ifndef UMBRA_CET_CPUID_H
#define UMBRA_CET_CPUID_H

#include <linux/kvm.h>
#include <stdint.h>

#include "umbra/cet_cpu.h"

/* The entry of leaf `function`, subleaf `index` (ignored where the leaf has none), or NULL. */
const struct kvm_cpuid_entry2 *cet_cpuid_find(const struct kvm_cpuid2 *cpuid, uint32_t function,
					      uint32_t index);

/*
 * Takes every trace of CET out of `cpuid` in place: SHSTK (7.0 ECX[7]), IBT (7.0
 * EDX[20]), supervisor shadow stacks (7.1 EDX[18]), the two supervisor states in
 * D.1 ECX[12:11] and their subleaves D.11 and D.12, which are removed; the size in
 * D.1 EBX becomes that of the states that remain. KVM then refuses CR4.CET, the
 * XSS bits and the registers to this vCPU by itself (arch/x86/kvm/cpuid.c).
 */
void cet_cpuid_hide(struct kvm_cpuid2 *cpuid);

#endif
