// SPDX-License-Identifier: MIT
/*
 * What a VMM adds to save and restore all of a vCPU's CET state. Build it alone with
 *	cc cet_save_restore.c $(pkg-config --cflags --libs libumbra-cet)
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <umbra/cet.h>

/* The vCPU is stopped and has its CPUID. */
static int save_cet(int kvm_fd, int vcpu_fd, CetState *ret_state)
{
	CetVcpu vcpu = {.fd = vcpu_fd};
	RegIo io = cet_vcpu_io(&vcpu);
	CetFault fault = {.attempt = "list"};
	uint32_t set;
	char text[512];

	if (cet_discover(kvm_fd, vcpu_fd, &set) == 0 &&
	    cet_capture(&io, set, ret_state, &fault) == 0)
		return 0;
	fprintf(stderr, "%s\n", cet_fault_text(&fault, text, sizeof(text)));
	return -1;
}

/* After KVM_SET_SREGS and KVM_SET_XSAVE, before KVM_SET_VCPU_EVENTS. Names all that is wrong. */
static int restore_cet(int vcpu_fd, const CetState *state, const CetCpu *guest, const CetCpu *host)
{
	CetVcpu vcpu = {.fd = vcpu_fd};
	RegIo io = cet_vcpu_io(&vcpu);
	RegProblem problems[CET_MAX_PROBLEMS];
	unsigned n = cet_check(state, guest, host, problems, CET_MAX_PROBLEMS);
	CetJudge judge;
	CetFault fault;
	char text[512];

	cet_judge_init(&judge, guest, host);
	for (unsigned i = 0; i < n; i++)
		fprintf(stderr, "%s\n", cet_problem_text(&problems[i], text, sizeof(text)));
	if (n == 0 && cet_restore(&io, state, &judge, &fault) == 0)
		return 0;
	if (n == 0)
		fprintf(stderr, "%s\n", cet_fault_text(&fault, text, sizeof(text)));
	return -1;
}

/* The rest stands in for the other VMM: two vCPUs, and the state moves from one to the other. */
int main(void)
{
	static struct {
		struct kvm_cpuid2 list;
		struct kvm_cpuid_entry2 entries[512];
	} cpuid = {.list.nent = 512};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	int from = ioctl(vm, KVM_CREATE_VCPU, 0), to = ioctl(vm, KVM_CREATE_VCPU, 1);
	CetState state;

	if (to < 0 || ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ||
	    ioctl(from, KVM_SET_CPUID2, &cpuid) < 0 || ioctl(to, KVM_SET_CPUID2, &cpuid) < 0) {
		perror("KVM");
		return 2;
	}
	CetCpu cpu = cet_cpuid_features(&cpuid.list); /* this guest has all the host has */

	if (save_cet(kvm, from, &state) < 0 || restore_cet(to, &state, &cpu, &cpu) < 0)
		return 1;
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (state.has & 1u << i)
			printf("%-12s 0x%016llx\n", cet_registers[i].name,
			       (unsigned long long)state.value[i]);
	return 0;
}
