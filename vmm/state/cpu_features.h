// SPDX-License-Identifier: MIT
/*
 * The words of CPUID in which each bit is a feature of its own (SDM 2A, CPUID; APM 3,
 * appendix E; Documentation/virt/kvm/x86/cpuid.rst), with the names that Linux shows in
 * /proc/cpuinfo where it has one.
 */
#ifndef UMBRA_STATE_CPU_FEATURES_H
#define UMBRA_STATE_CPU_FEATURES_H

#include <linux/kvm.h>
#include <stdint.h>

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

/* What a CPUID list says there; 0 where it has no such leaf. */
uint32_t cpuid_word(const struct kvm_cpuid2 *cpuid, const CpuidWord *at);

/* "cpuid 7.0 ecx", "cpuid 80000001 edx": free with g_free. */
char *cpuid_word_name(const CpuidWord *at);

#endif
