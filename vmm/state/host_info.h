// SPDX-License-Identifier: MIT
/*
 * What a host's KVM is and offers, as plain data: filled from a live host by
 * host_probe() or from a file, judged here, shown by inspect/.
 */
#ifndef UMBRA_STATE_HOST_INFO_H
#define UMBRA_STATE_HOST_INFO_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "umbra/cet_cpu.h"

typedef enum HostAccess {
	HOST_KVM_USABLE,
	HOST_KVM_ABSENT, /* no such file, or no driver behind it */
	HOST_KVM_DENIED, /* no permission */
	HOST_KVM_ALIEN,	 /* the file is no KVM, or one of another API version */
	HOST_KVM_FAILED, /* KVM is there, but a first request failed */
} HostAccess;

/* A KVM capability worth knowing on the far side of a migration. */
typedef struct HostCapability {
	const char *name;
	int number;
} HostCapability;

#define HOST_N_CAPABILITIES 32
extern const HostCapability host_capabilities[HOST_N_CAPABILITIES];

/* The module parameters on which CET depends, and what tells them apart when they are absent. */
typedef enum HostParameter {
	HOST_PARAMETER_INTEL_CET,
	HOST_PARAMETER_INTEL_EPT,
	HOST_PARAMETER_INTEL_UNRESTRICTED_GUEST,
	HOST_PARAMETER_INTEL_ALLOW_SMALLER_MAXPHYADDR,
	HOST_PARAMETER_INTEL_ENABLE_APICV,
	HOST_PARAMETER_INTEL_NESTED,
	HOST_PARAMETER_AMD_NPT,
	HOST_PARAMETER_AMD_NESTED,
	HOST_PARAMETER_KVM_IGNORE_MSRS,
	HOST_N_PARAMETERS,
} HostParameter;

extern const struct HostParameterName {
	const char *module;
	const char *name;
} host_parameters[HOST_N_PARAMETERS];

/* The processor itself, by its own CPUID instruction: an explanation, never a gate. */
typedef struct HostCpu {
	char vendor[13];
	bool shstk;
	bool ibt;
	bool xstates;	/* CET_U and CET_S both, as KVM demands */
	bool ibt_known; /* the kernel lists ibt in /proc/cpuinfo */
} HostCpu;

typedef struct HostInfo {
	HostAccess access;
	char *path;   /* of the KVM device */
	char *reason; /* the system's words, where access is not HOST_KVM_USABLE */
	char *kernel; /* release, as uname(2) says it */
	HostCpu cpu;
	const char *backend;		       /* "kvm_intel", "kvm_amd", or NULL for another */
	char *parameters[HOST_N_PARAMETERS];   /* as sysfs says them; NULL: there is none */
	int api_version;		       /* from here on: only with HOST_KVM_USABLE */
	int capabilities[HOST_N_CAPABILITIES]; /* KVM_CHECK_EXTENSION, 0 for unknown ones */
	struct kvm_cpuid2 *cpuid;	       /* KVM_GET_SUPPORTED_CPUID */
	CetCpu cet;			       /* what `cpuid` says of CET */
	uint64_t xcr0;			       /* the bits of XCR0 a guest may set */
	uint32_t tsc_khz;		       /* of the host's TSC, 0 if KVM does not tell */
	uint32_t *msrs;			       /* KVM_GET_MSR_INDEX_LIST */
	unsigned n_msrs;
	bool guest_ssp;	      /* KVM_GET_REG_LIST of a vCPU with this CPUID names it */
	bool vmx_basic_known; /* KVM tells the VMX capabilities of the CPU */
	uint64_t vmx_basic;
} HostInfo;

void host_info_finish(HostInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HostInfo, host_info_finish)

/* A capability's value by its number; 0 for one that host_capabilities does not list. */
int host_info_capability(const HostInfo *info, int number);

/* Does a boolean parameter exist and have this value? */
bool host_info_is(const HostInfo *info, HostParameter parameter, bool value);

/* The CET registers that KVM serves here, as bits 1 << CetReg. */
uint32_t host_info_registers(const HostInfo *info);

/* Can a guest here have shadow stacks whose whole state can be saved and restored? */
bool host_info_has_cet(const HostInfo *info);

/* One thing that is missing, why, and what to do about it. */
typedef struct HostMissing {
	const char *what; /* "kvm", "shstk", "ibt", "guest_ssp" */
	char *why;
	const char *remedy;
} HostMissing;

/* Everything that is missing, of HostMissing: one entry for each thing and cause. */
GPtrArray *host_info_missing(const HostInfo *info);

#endif
