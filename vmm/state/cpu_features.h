// SPDX-License-Identifier: MIT
/*
 * The words of CPUID in which each bit is a feature of its own (SDM 2A, CPUID; APM 3,
 * appendix E; Documentation/virt/kvm/x86/cpuid.rst), with the names that Linux shows in
 * /proc/cpuinfo where it has one.
 */
#ifndef UMBRA_STATE_CPU_FEATURES_H
#define UMBRA_STATE_CPU_FEATURES_H

#include "state/host_info.h"

typedef enum CpuidRegister {
	CPUID_EAX,
	CPUID_EBX,
	CPUID_ECX,
	CPUID_EDX,
} CpuidRegister;

/* A register of a leaf. */
typedef struct CpuidWord {
	uint32_t function;
	uint32_t index;
	CpuidRegister reg;
} CpuidWord;

typedef struct CpuFeatureWord {
	CpuidWord at;
	uint32_t ignored; /* bits that follow the guest's doings, or say where and how many CPUs are
			   */
	const char *names[32]; /* NULL: the bit has none here */
} CpuFeatureWord;

#define CPU_FEATURE_WORDS 23
extern const CpuFeatureWord cpu_feature_words[CPU_FEATURE_WORDS];

/* Parts of a word that are numbers: the more the better. */
typedef struct CpuNumber {
	CpuidWord at;
	unsigned low, width;
	const char *about;
} CpuNumber;

#define CPU_NUMBERS 6
extern const CpuNumber cpu_numbers[CPU_NUMBERS];

/* What a CPUID list says there; 0 where it has no such leaf. */
uint32_t cpuid_word(const struct kvm_cpuid2 *cpuid, const CpuidWord *at);

/* The same for what a host's KVM offers, with what it serves and need not list. */
uint32_t cpuid_word_offered(const HostInfo *host, const CpuidWord *at);

/* The vendor's twelve letters, of leaf 0; what cannot be printed is a question mark. */
void cpuid_vendor(const struct kvm_cpuid2 *cpuid, char ret_vendor[13]);

/* The states that XSAVE can hold there: as bits of XCR0, and of IA32_XSS. */
uint64_t cpuid_user_states(const struct kvm_cpuid2 *cpuid);
uint64_t cpuid_supervisor_states(const struct kvm_cpuid2 *cpuid);

/* "cpuid 7.0 ecx", "cpuid 80000001 edx": free with g_free. */
char *cpuid_word_name(const CpuidWord *at);

#endif
