// SPDX-License-Identifier: MIT
#include "state/cpu_features.h"

#include "cet/cpuid.h"

#include <string.h>

#define BIT(n)	     (1u << (n))
#define TSC_DEADLINE BIT(24) /* CPUID 1 ECX */

const CpuFeatureWord cpu_feature_words[CPU_FEATURE_WORDS] = {
	/* MONITOR and OSXSAVE change with the guest's MSRs and CR4; HYPERVISOR is the VMM's word.
	 */
	{{0x1, 0, CPUID_ECX},
	 BIT(3) | BIT(27) | BIT(31),
	 {"sse3",   "pclmulqdq", "dtes64",  "monitor", "ds_cpl",
	  "vmx",    "smx",	 "est",	    "tm2",     "ssse3",
	  "cid",    "sdbg",	 "fma",	    "cx16",    "xtpr",
	  "pdcm",   NULL,	 "pcid",    "dca",     "sse4_1",
	  "sse4_2", "x2apic",	 "movbe",   "popcnt",  "tsc_deadline_timer",
	  "aes",    "xsave",	 "osxsave", "avx",     "f16c",
	  "rdrand", "hypervisor"}},
	/* APIC changes with IA32_APIC_BASE; HT says how many processors there are. */
	{{0x1, 0, CPUID_EDX},
	 BIT(9) | BIT(28),
	 {"fpu",  "vme",  "de",	  "pse", "tsc",	 "msr", "pae",	 "mce", "cx8",	   "apic", NULL,
	  "sep",  "mtrr", "pge",  "mca", "cmov", "pat", "pse36", "pn",	"clflush", NULL,   "dts",
	  "acpi", "mmx",  "fxsr", "sse", "sse2", "ss",	"ht",	 "tm",	"ia64",	   "pbe"}},
	{{0x6, 0, CPUID_EAX}, 0, {[2] = "arat"}},
	{{0x7, 0, CPUID_EBX}, 0, {"fsgsbase",
				  "tsc_adjust",
				  "sgx",
				  "bmi1",
				  "hle",
				  "avx2",
				  "fdp_excptn_only",
				  "smep",
				  "bmi2",
				  "erms",
				  "invpcid",
				  "rtm",
				  "cqm",
				  "zero_fcs_fds",
				  "mpx",
				  "rdt_a",
				  "avx512f",
				  "avx512dq",
				  "rdseed",
				  "adx",
				  "smap",
				  "avx512ifma",
				  "pcommit",
				  "clflushopt",
				  "clwb",
				  "intel_pt",
				  "avx512pf",
				  "avx512er",
				  "avx512cd",
				  "sha_ni",
				  "avx512bw",
				  "avx512vl"}},
	/* OSPKE changes with CR4; SHSTK is cet_check()'s. */
	{{0x7, 0, CPUID_ECX},
	 BIT(4) | BIT(7) | 0x1fu << 17,
	 {"prefetchwt1",
	  "avx512vbmi",
	  "umip",
	  "pku",
	  "ospke",
	  "waitpkg",
	  "avx512_vbmi2",
	  "shstk",
	  "gfni",
	  "vaes",
	  "vpclmulqdq",
	  "avx512_vnni",
	  "avx512_bitalg",
	  "tme",
	  "avx512_vpopcntdq",
	  [16] = "la57",
	  [22] = "rdpid",
	  [23] = "kl",
	  [24] = "bus_lock_detect",
	  [25] = "cldemote",
	  [27] = "movdiri",
	  [28] = "movdir64b",
	  [29] = "enqcmd",
	  [30] = "sgx_lc",
	  [31] = "pks"}},
	/* IBT is cet_check()'s. */
	{{0x7, 0, CPUID_EDX},
	 BIT(20),
	 {[1] = "sgx_keys",
	  "avx512_4vnniw",
	  "avx512_4fmaps",
	  "fsrm",
	  "uintr",
	  [8] = "avx512_vp2intersect",
	  "srbds_ctrl",
	  "md_clear",
	  "rtm_always_abort",
	  [13] = "tsx_force_abort",
	  "serialize",
	  "hybrid_cpu",
	  "tsxldtrk",
	  [18] = "pconfig",
	  "arch_lbr",
	  "ibt",
	  [22] = "amx_bf16",
	  "avx512_fp16",
	  "amx_tile",
	  "amx_int8",
	  "spec_ctrl",
	  "intel_stibp",
	  "flush_l1d",
	  "arch_capabilities",
	  "core_capabilities",
	  "spec_ctrl_ssbd"}},
	{{0x7, 1, CPUID_EAX},
	 0,
	 {"sha512",
	  "sm3",
	  "sm4",
	  "rao_int",
	  "avx_vnni",
	  "avx512_bf16",
	  "lass",
	  "cmpccxadd",
	  "arch_perfmon_ext",
	  [10] = "fzrm",
	  "fsrs",
	  "fsrc",
	  [17] = "fred",
	  "lkgs",
	  "wrmsrns",
	  "nmi_src",
	  "amx_fp16",
	  "hreset",
	  "avx_ifma",
	  [26] = "lam",
	  "msrlist",
	  [30] = "invd_disable",
	  "movrs"}},
	{{0x7, 1, CPUID_ECX}, 0, {[5] = "msr_imm"}},
	{{0x7, 1, CPUID_EDX},
	 0,
	 {[4] = "avx_vnni_int8",
	  "avx_ne_convert",
	  [8] = "amx_complex",
	  [10] = "avx_vnni_int16",
	  [13] = "utmr",
	  "prefetchiti",
	  "user_msr",
	  [18] = "cet_sss",
	  "avx10",
	  [21] = "apx_f"}},
	{{0x7, 2, CPUID_EDX},
	 0,
	 {"intel_psfd", "ipred_ctrl", "rrsba_ctrl", "ddpd_u", "bhi_ctrl", "mcdt_no",
	  "uclock_disable", "monitor_mitg_no"}},
	/* The states that XSAVE can hold: bits of XCR0. */
	{{0xd, 0, CPUID_EAX},
	 0,
	 {"x87", "sse", "avx", "bndregs", "bndcsr", "opmask", "zmm_hi256",
	  "hi16_zmm", [9] = "pkru", [17] = "xtilecfg", "xtiledata"}},
	{{0xd, 0, CPUID_EDX}, 0, {NULL}},
	{{0xd, 1, CPUID_EAX}, 0, {"xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd"}},
	/* … and of IA32_XSS; those of CET go with SHSTK and IBT. */
	{{0xd, 1, CPUID_ECX},
	 BIT(11) | BIT(12),
	 {[8] = "pt", [10] = "pasid", "cet_u", "cet_s", "hdc", "uintr", "lbr", "hwp"}},
	{{0x14, 0, CPUID_EBX}, 0, {NULL}},
	{{0x14, 0, CPUID_ECX}, 0, {NULL}},
	/* CMP_LEGACY says how many processors there are. */
	{{0x80000001, 0, CPUID_ECX}, BIT(1), {"lahf_lm",    "cmp_legacy",  "svm",
					      "extapic",    "cr8_legacy",  "abm",
					      "sse4a",	    "misalignsse", "3dnowprefetch",
					      "osvw",	    "ibs",	   "xop",
					      "skinit",	    "wdt",	   NULL,
					      "lwp",	    "fma4",	   "tce",
					      NULL,	    "nodeid_msr",  NULL,
					      "tbm",	    "topoext",	   "perfctr_core",
					      "perfctr_nb", NULL,	   "bpext",
					      "ptsc",	    "perfctr_llc", "mwaitx"}},
	/* AMD says here once more what leaf 1 says. */
	{{0x80000001, 0, CPUID_EDX},
	 0x0183f3ff,
	 {[11] = "syscall",
	  [19] = "mp",
	  "nx",
	  [22] = "mmxext",
	  [25] = "fxsr_opt",
	  "pdpe1gb",
	  "rdtscp",
	  [29] = "lm",
	  "3dnowext",
	  "3dnow"}},
	{{0x80000007, 0, CPUID_EDX}, 0, {[8] = "invariant_tsc"}},
	{{0x80000008, 0, CPUID_EBX},
	 0,
	 {"clzero",
	  "irperf",
	  "xsaveerptr",
	  NULL,
	  "rdpru",
	  [9] = "wbnoinvd",
	  [12] = "amd_ibpb",
	  [14] = "amd_ibrs",
	  "amd_stibp",
	  [17] = "amd_stibp_always_on",
	  [19] = "ibrs_same_mode",
	  [23] = "amd_ppin",
	  "amd_ssbd",
	  "virt_ssbd",
	  "amd_ssb_no",
	  "cppc",
	  "amd_psfd",
	  "btc_no",
	  "amd_ibpb_ret",
	  "brs"}},
	{{0x80000021, 0, CPUID_EAX},
	 0,
	 {"no_nested_data_bp", NULL, "lfence_rdtsc", [6] = "null_sel_clr_base", [8] = "autoibrs",
	  "no_smm_ctl_msr", [17] = "cpuid_user_dis", [20] = "prefetchi", [27] = "sbpb",
	  "ibpb_brtype", "srso_no", "srso_user_kernel_no"}},
	{{0x80000021, 0, CPUID_ECX}, 0, {[1] = "tsa_sq_no", "tsa_l1_no"}},
	{{0x40000001, 0, CPUID_EAX},
	 0,
	 {"kvmclock", "kvm_nopiodelay", "kvm_mmu", "kvmclock2", "kvm_asyncpf", "kvm_steal_time",
	  "kvm_pv_eoi", "kvm_pv_unhalt", NULL, "kvm_pv_tlb_flush", "kvm_asyncpf_vmexit",
	  "kvm_pv_ipi", "kvm_poll_control", "kvm_pv_sched_yield", "kvm_asyncpf_int",
	  "kvm_msi_ext_dest_id", "kvm_hc_map_gpa_range",
	  "kvm_migration_control", [24] = "kvmclock_stable"}},
};

const CpuNumber cpu_numbers[CPU_NUMBERS] = {
	{{0x80000008, 0, CPUID_EAX}, 0, 8, "the number of physical address bits"},
	{{0xa, 0, CPUID_EAX}, 0, 8, "the version of performance monitoring"},
	{{0xa, 0, CPUID_EAX}, 8, 8, "the number of performance counters"},
	{{0xa, 0, CPUID_EDX}, 0, 5, "the number of fixed performance counters"},
	{{0x80000022, 0, CPUID_EBX}, 0, 4, "the number of performance counters"},
	{{0x24, 0, CPUID_EBX}, 0, 8, "the version of AVX10"},
};

uint32_t cpuid_word(const struct kvm_cpuid2 *cpuid, const CpuidWord *at)
{
	const struct kvm_cpuid_entry2 *leaf = cet_cpuid_find(cpuid, at->function, at->index);

	if (!leaf)
		return 0;
	switch (at->reg) {
	case CPUID_EAX:
		return leaf->eax;
	case CPUID_EBX:
		return leaf->ebx;
	case CPUID_ECX:
		return leaf->ecx;
	default:
		return leaf->edx;
	}
}

/* KVM serves this one and need not list it: it has a capability for it. */
uint32_t cpuid_word_offered(const HostInfo *host, const CpuidWord *at)
{
	uint32_t word = cpuid_word(host->cpuid, at);

	if (at->function == 0x1 && at->reg == CPUID_ECX &&
	    host_info_capability(host, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		word |= TSC_DEADLINE;
	return word;
}

/* Twelve letters in EBX, EDX, ECX of leaf 0. */
void cpuid_vendor(const struct kvm_cpuid2 *cpuid, char ret_vendor[13])
{
	const CpuidRegister order[] = {CPUID_EBX, CPUID_EDX, CPUID_ECX};

	for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
		uint32_t word = cpuid_word(cpuid, &(CpuidWord){0, 0, order[i]});

		memcpy(ret_vendor + i * sizeof(word), &word, sizeof(word));
	}
	ret_vendor[12] = '\0';
	/* A state may hold anything, and what is printed shall be readable. */
	for (unsigned i = 0; i < 12; i++)
		if (!g_ascii_isgraph(ret_vendor[i]))
			ret_vendor[i] = '?';
}

uint64_t cpuid_user_states(const struct kvm_cpuid2 *cpuid)
{
	return (uint64_t)cpuid_word(cpuid, &(CpuidWord){0xd, 0, CPUID_EDX}) << 32 |
	       cpuid_word(cpuid, &(CpuidWord){0xd, 0, CPUID_EAX});
}

uint64_t cpuid_supervisor_states(const struct kvm_cpuid2 *cpuid)
{
	return (uint64_t)cpuid_word(cpuid, &(CpuidWord){0xd, 1, CPUID_EDX}) << 32 |
	       cpuid_word(cpuid, &(CpuidWord){0xd, 1, CPUID_ECX});
}

/* The leaves with subleaves, as manuals write them: "7.0"; others have a number only. */
static bool has_subleaves(uint32_t function)
{
	return function == 0x7 || function == 0xd || function == 0x14 || function == 0x24;
}

char *cpuid_word_name(const CpuidWord *at)
{
	static const char *const registers[] = {"eax", "ebx", "ecx", "edx"};

	if (has_subleaves(at->function))
		return g_strdup_printf("cpuid %x.%u %s", at->function, at->index,
				       registers[at->reg]);
	return g_strdup_printf("cpuid %x %s", at->function, registers[at->reg]);
}
