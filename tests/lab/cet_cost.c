// SPDX-License-Identifier: MIT
/*
 * What the library adds to the ioctls it makes, in instructions: in the lab the TSC
 * counts them. Prints one line for each figure; fails where one is over its limit.
 */
#include "umbra/cet.h"
#include "umbra/one_reg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

enum {
	ROUNDS = 400,
	N_MSRS = 8, /* XSS and the seven */
	CHECK_LIMIT = 2000,
};

typedef struct Bench {
	CetVcpu vcpu;
	RegIo io;
	CetState state;
	CetCpu cpu;
	CetJudge judge;
	uint64_t ssp;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[N_MSRS];
	} msrs;
} Bench;

static void die(const char *what)
{
	fprintf(stderr, "cet_cost: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void bare(Bench *bench, unsigned long msrs, unsigned long one_reg)
{
	struct kvm_one_reg reg = {.id = UMBRA_ONE_REG_GUEST_SSP, .addr = (uintptr_t)&bench->ssp};

	if (ioctl(bench->vcpu.fd, msrs, &bench->msrs) != N_MSRS ||
	    ioctl(bench->vcpu.fd, one_reg, &reg) < 0)
		die("bare ioctls");
}

static void bare_capture(Bench *bench)
{
	bare(bench, KVM_GET_MSRS, KVM_GET_ONE_REG);
}

static void bare_restore(Bench *bench)
{
	bare(bench, KVM_SET_MSRS, KVM_SET_ONE_REG);
	bare(bench, KVM_GET_MSRS, KVM_GET_ONE_REG);
}

static void capture(Bench *bench)
{
	CetFault fault;

	if (cet_capture(&bench->io, bench->state.has, &bench->state, &fault) < 0)
		die("capture");
}

static void restore(Bench *bench)
{
	CetFault fault;

	if (cet_restore(&bench->io, &bench->state, &bench->judge, &fault) < 0)
		die("restore");
}

static void check(Bench *bench)
{
	RegProblem problems[CET_MAX_PROBLEMS];

	if (cet_check(&bench->state, &bench->cpu, &bench->cpu, problems, CET_MAX_PROBLEMS) != 0)
		die("check");
}

/* The least of many rounds: what an interrupt adds is not the subject's. */
static uint64_t cost(Bench *bench, void (*work)(Bench *bench))
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = __rdtsc();

		work(bench);
		uint64_t spent = __rdtsc() - before;

		if (spent < least)
			least = spent;
	}
	return least;
}

static void bench_init(Bench *bench)
{
	static struct {
		struct kvm_cpuid2 list;
		struct kvm_cpuid_entry2 entries[512];
	} cpuid = {.list.nent = 512};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);

	if (vcpu < 0 || ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ||
	    ioctl(vcpu, KVM_SET_CPUID2, &cpuid) < 0)
		die("/dev/kvm");
	*bench = (Bench){.vcpu = {.fd = vcpu}, .cpu = cet_cpuid_features(&cpuid.list)};
	cet_judge_init(&bench->judge, &bench->cpu, &bench->cpu);
	bench->io = cet_vcpu_io(&bench->vcpu);
	if (cet_discover(kvm, vcpu, &bench->state.has) < 0)
		die("cet_discover");
	bench->state.xss = 0x1800;
	bench->state.value[CET_U_CET] = 0x3;
	bench->state.value[CET_S_CET] = 0x4;
	bench->state.value[CET_PL3_SSP] = bench->ssp = 0x7f0000001000;
	bench->state.value[CET_GUEST_SSP] = 0x7f0000001000;
	bench->msrs.head.nmsrs = N_MSRS;
	bench->msrs.entries[0] = (struct kvm_msr_entry){.index = 0xda0, .data = 0x1800};
	for (unsigned i = 0; i < N_MSRS - 1; i++)
		bench->msrs.entries[i + 1] = (struct kvm_msr_entry){.index = cet_registers[i].msr,
								    .data = bench->state.value[i]};
}

static bool compare(const char *name, uint64_t ours, uint64_t bare_cost)
{
	bool fits = ours * 100 <= bare_cost * 105;

	printf("%s %llu, bare ioctls %llu: %.3f times%s\n", name, (unsigned long long)ours,
	       (unsigned long long)bare_cost, (double)ours / (double)bare_cost,
	       fits ? "" : " (limit 1.05)");
	return fits;
}

int main(void)
{
	static Bench bench;
	bool fits = true;
	uint64_t checked;

	bench_init(&bench);
	if (bench.state.has != (CET_HAS_XSS | (CET_HAS_XSS - 1))) {
		fprintf(stderr, "cet_cost: this KVM does not offer CET\n");
		return 2;
	}
	restore(&bench);
	fits &= compare("capture", cost(&bench, capture), cost(&bench, bare_capture));
	fits &= compare("restore", cost(&bench, restore), cost(&bench, bare_restore));
	checked = cost(&bench, check);
	printf("check %llu instructions\n", (unsigned long long)checked);
	fits &= checked <= CHECK_LIMIT;
	return fits ? 0 : 1;
}
