// SPDX-License-Identifier: MIT
/* Asks a live host what its KVM offers. */
#ifndef UMBRA_KVM_HOST_H
#define UMBRA_KVM_HOST_H

#include "state/host_info.h"

/* Where to look; NULL for the usual places. */
typedef struct HostPaths {
	const char *kvm;	/* /dev/kvm */
	const char *sys_module; /* /sys/module */
	const char *cpuinfo;	/* /proc/cpuinfo */
} HostPaths;

/*
 * Fills `info`, always: a host without a usable KVM is an answer, not an error.
 * Makes a VM with one vCPU and drops it again, for what KVM tells only of a vCPU.
 */
void host_probe(const HostPaths *paths, HostInfo *info);

/*
 * The same without a VM, for who is about to make one anyway: guest_ssp is then what
 * follows from KVM_CAP_ONE_REG and SHSTK in `cpuid`, and KVM is taken for mainline's
 * (cet.traits is 0), which takes least.
 */
void host_probe_quick(const HostPaths *paths, HostInfo *info);

#endif
