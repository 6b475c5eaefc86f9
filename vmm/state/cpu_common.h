// SPDX-License-Identifier: MIT
/* The CPU that two hosts have in common: for guests that shall be able to move between them. */
#ifndef UMBRA_STATE_CPU_COMMON_H
#define UMBRA_STATE_CPU_COMMON_H

#include "state/host_info.h"

/*
 * Takes from a CPUID list what `other` does not offer, so that a guest that was shown the rest
 * passes machine_state_check() there in everything that CPUID decides: features, numbers,
 * CET (all of it unless a guest's shadow stacks can be moved there), states of XSAVE. VMX and
 * SVM always go: a guest that uses them cannot be moved at all.
 * UMBRA_ERROR_INCOMPATIBLE: there is no such CPU, for the vendors differ, or the places
 * of XSAVE's states do, or `other` has no usable KVM.
 */
bool cpu_common_narrow(struct kvm_cpuid2 *cpuid, const HostInfo *other, GError **error);

#endif
