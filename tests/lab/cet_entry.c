// SPDX-License-Identifier: MIT
/*
 * What the table calls "accepts": KVM takes the state, and the next VM entry fails.
 * Loads such states, and enters; each has a sound twin that enters. Also IA32_XSS.
 *
 *	cet_entry [NAME]	NAME: the kernel, as in common/kvm_rules.h
 */
#include "common/kvm_rules.h"
#include "umbra/cet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define CR0_WP	0x10000ULL
#define CR4_CET 0x800000ULL
/* 64-bit mode: outside it, the upper halves of s_cet and the SSP must be zero. */
#define CR0_LONG  0x80000021ULL /* PG, NE, PE */
#define CR4_LONG  0x20ULL	/* PAE */
#define EFER_LONG 0x500ULL	/* LMA, LME */

enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	MEMORY = 0x3000,
};

static const struct Case {
	const char *name;
	uint64_t s_cet;
	uint64_t cr0; /* beside 64-bit mode's */
	uint64_t cr4;
	bool enters;
} cases[] = {
	{"reset", 0, 0, 0, true},
	{"s_cet canonical", 0xffff800000000004, 0, 0, true},
	{"s_cet not canonical", 0x8000000000000004, 0, 0, false},
	{"s_cet not canonical, upper half", 0xffff700000000004, 0, 0, false},
	{"CR4.CET with CR0.WP", 0, CR0_WP, CR4_CET, true},
	{"CR4.CET without CR0.WP", 0, 0, CR4_CET, false},
};

typedef enum Outcome {
	ENTERS,
	FAILS,	 /* at entry, too late to tell why */
	REFUSED, /* by the ioctl that loads it */
} Outcome;

static const char *const outcome_names[] = {"entry works", "entry fails", "KVM refuses it"};

static const struct XssCase {
	uint64_t value;
	bool hidden; /* the guest has no CET */
} xss_cases[] = {
	{0, false},	 {0x800, false}, {0x1000, false},     {0x1800, false},
	{0x1900, false}, {0x1, false},	 {1ULL << 63, false}, {0, true},
	{0x800, true},	 {0x1800, true}, {0x100, true},
};

typedef struct Cpuid {
	struct kvm_cpuid2 list;
	struct kvm_cpuid_entry2 entries[512];
} Cpuid;

static void die(const char *what)
{
	fprintf(stderr, "cet_entry: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* One HLT at 0, and page tables that map the first gigabyte to itself. */
static void give_memory(int vm)
{
	uint64_t *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = MEMORY,
		.userspace_addr = (uintptr_t)memory,
	};

	if (memory == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		die("cannot give the guest memory");
	memory[0] = 0xf4;
	memory[PML4 / 8] = PDPT | 3;
	memory[PDPT / 8] = 0x83;
}

static int make_vcpu(int kvm, Cpuid *cpuid, struct kvm_run **ret_run)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (vcpu < 0 || ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		die("cannot make a vCPU");
	*ret_run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (*ret_run == MAP_FAILED)
		die("cannot map a vCPU");
	give_memory(vm);
	return vcpu;
}

/* What the check says of KVM and the problem with `name`; REG_OK if there is none. */
static RegVerdict check_says(const CetState *state, const CetCpu *cpu, const char *name)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n = cet_check(state, cpu, cpu, problems, CET_MAX_PROBLEMS);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(problems[i].name, name) == 0)
			return problems[i].kvm;
	return REG_OK;
}

static Outcome expected(const struct Case *c, uint32_t traits)
{
	uint32_t refuses = c->cr4 ? CET_TRAIT_REFUSES_CET_WITHOUT_WP : CET_TRAIT_REFUSES_BITMAP;

	if (c->enters)
		return ENTERS;
	return traits & refuses ? REFUSED : FAILS;
}

/* Loads the state of `c` and runs it. */
static Outcome enter(int vcpu, const struct kvm_run *run, const struct Case *c,
		     const CetState *state)
{
	CetVcpu way = {.fd = vcpu};
	RegIo io = cet_vcpu_io(&way);
	CetFault fault;
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = 0, .rflags = 2};

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		die("KVM_GET_SREGS");
	sregs.cr0 = CR0_LONG | c->cr0;
	sregs.cr4 = CR4_LONG | c->cr4;
	sregs.cr3 = PML4;
	sregs.efer = EFER_LONG;
	sregs.cs.base = 0;
	sregs.cs.l = sregs.cs.g = 1;
	sregs.cs.type = 11;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0) {
		if (errno == EINVAL)
			return REFUSED;
		die("KVM_SET_SREGS");
	}
	if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		die("KVM_SET_REGS");
	if (cet_write(&io, state, &fault) < 0)
		return REFUSED;
	if (ioctl(vcpu, KVM_RUN, 0) < 0)
		die("KVM_RUN");
	if (run->exit_reason != KVM_EXIT_HLT && run->exit_reason != KVM_EXIT_FAIL_ENTRY)
		die("neither a HLT nor a failed entry");
	return run->exit_reason == KVM_EXIT_HLT ? ENTERS : FAILS;
}

static bool try_entry(const struct Case *c, int kvm, Cpuid *cpuid, uint32_t traits)
{
	static const RegVerdict verdicts[] = {
		[ENTERS] = REG_OK, [FAILS] = REG_ACCEPTS, [REFUSED] = REG_REFUSES};
	struct kvm_run *run;
	int vcpu = make_vcpu(kvm, cpuid, &run);
	CetCpu cpu = cet_cpuid_features(&cpuid->list);
	CetState state = {.has = 1u << CET_S_CET | CET_HAS_CR,
			  .value = {[CET_S_CET] = c->s_cet},
			  .cr0 = c->cr0,
			  .cr4 = c->cr4};
	RegVerdict said;
	Outcome outcome;

	if (cet_traits(vcpu, &cpu, &cpu.traits) < 0)
		die("cet_traits");
	outcome = enter(vcpu, run, c, &state);
	said = check_says(&state, &cpu, c->cr4 ? "cr4" : "s_cet");
	printf("%s: %s, the check says %s\n", c->name, outcome_names[outcome],
	       cet_verdict_name(said));
	return cpu.traits == traits && outcome == expected(c, traits) && said == verdicts[outcome];
}

static bool try_xss(const struct XssCase *c, int kvm, const Cpuid *supported)
{
	static Cpuid cpuid;
	struct kvm_run *run;
	CetCpu host = cet_cpuid_features(&supported->list), guest;
	CetState state = {.has = CET_HAS_XSS, .xss = c->value};
	RegProblem problems[CET_MAX_PROBLEMS];
	bool refused, said = false;
	CetFault fault;
	unsigned n;

	cpuid = *supported;
	if (c->hidden)
		cet_cpuid_hide(&cpuid.list);
	guest = cet_cpuid_features(&cpuid.list);

	CetVcpu way = {.fd = make_vcpu(kvm, &cpuid, &run)};
	RegIo io = cet_vcpu_io(&way);

	refused = cet_write(&io, &state, &fault) < 0;
	n = cet_check(&state, &guest, &host, problems, CET_MAX_PROBLEMS);
	for (unsigned i = 0; i < n; i++)
		said |= strcmp(problems[i].name, "xss") == 0 && problems[i].kvm == REG_REFUSES;
	printf("xss 0x%llx%s: KVM %s, the check %s\n", (unsigned long long)c->value,
	       c->hidden ? " without CET" : "", refused ? "refuses" : "takes it",
	       said ? "warns" : "is content");
	return refused == said;
}

int main(int argc, char **argv)
{
	uint32_t traits;
	static Cpuid supported = {.list.nent = 512};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	bool right = true;

	if (!kvm_rules_find(argc > 1 ? argv[1] : "mainline", &traits))
		die(argv[1]);
	if (kvm < 0 || ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &supported) < 0)
		die("/dev/kvm");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		right &= try_entry(&cases[i], kvm, &supported, traits);
	for (unsigned i = 0; i < sizeof(xss_cases) / sizeof(xss_cases[0]); i++)
		right &= try_xss(&xss_cases[i], kvm, &supported);
	puts(right ? "all as the check says" : "NOT as the check says");
	return right ? 0 : 1;
}
