// SPDX-License-Identifier: MIT
/* The CPU that CET state is judged by: a guest's, from its CPUID, or a host's, from KVM's. */
#ifndef UMBRA_CET_CPU_H
#define UMBRA_CET_CPU_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum CetFeature {
	CET_FEATURE_SHSTK = 1u << 0,  /* shadow stacks, CPUID 7.0 ECX[7] */
	CET_FEATURE_IBT = 1u << 1,    /* indirect branch tracking, CPUID 7.0 EDX[20] */
	CET_FEATURE_LM = 1u << 2,     /* 64-bit mode, CPUID 0x80000001 EDX[29] */
	CET_FEATURE_XSAVES = 1u << 3, /* XSAVES and IA32_XSS, CPUID D.1 EAX[3] */
};

/* The bits of IA32_XSS that manage CET: user (u_cet, pl3_ssp) and supervisor (pl0..pl2_ssp). */
#define CET_XSS_USER	   (1ULL << 11)
#define CET_XSS_SUPERVISOR (1ULL << 12)

/* What a KVM does otherwise than that of Linux 6.18 to 7.3; cet_traits() finds it out. */
enum CetTrait {
	/* It refuses a legacy bitmap base that is not canonical in u_cet and s_cet. */
	CET_TRAIT_REFUSES_BITMAP = 1u << 0,
	/* It takes a legacy bitmap base at any page, as the CPU does. */
	CET_TRAIT_ANY_BITMAP = 1u << 1,
	/* It refuses CR4.CET without CR0.WP in KVM_SET_SREGS. */
	CET_TRAIT_REFUSES_CET_WITHOUT_WP = 1u << 2,
};
#define CET_N_TRAITS 3

/* "refuses-noncanonical-bitmap" and so on: entry `i` is that of trait 1 << i. */
extern const char *const cet_trait_names[CET_N_TRAITS];

typedef struct CetCpu {
	uint32_t features;   /* of enum CetFeature */
	uint8_t linear_bits; /* width of a linear address: 57 with CPUID 7.0 ECX[16], else 48 */
	uint64_t xss;	     /* the bits of IA32_XSS that may be set, CPUID D.1 EDX:ECX */
	bool ignores_msrs;   /* a host with kvm.ignore_msrs=Y; CPUID does not tell it */
	uint32_t traits;     /* a host's, of enum CetTrait; CPUID does not tell them either */
} CetCpu;

struct kvm_cpuid2;

/* Reads a CPUID list: a guest's own, or what KVM_GET_SUPPORTED_CPUID says of the host. */
CetCpu cet_cpuid_features(const struct kvm_cpuid2 *cpuid);

/*
 * Takes every trace of CET out of `cpuid` in place: SHSTK (7.0 ECX[7]), IBT (7.0
 * EDX[20]), supervisor shadow stacks (7.1 EDX[18]), the two supervisor states in
 * D.1 ECX[12:11] and their subleaves D.11 and D.12, which are removed; the size in
 * D.1 EBX becomes that of the states that remain. KVM then refuses CR4.CET, the
 * XSS bits and the registers to this vCPU by itself (arch/x86/kvm/cpuid.c).
 *
 * Show a guest both features or neither where the host has both: once one is shown,
 * KVM no longer intercepts the registers, and the guest may write the other's bits.
 */
void cet_cpuid_hide(struct kvm_cpuid2 *cpuid);

#ifdef __cplusplus
}
#endif

#endif
