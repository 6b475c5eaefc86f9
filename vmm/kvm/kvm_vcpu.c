// SPDX-License-Identifier: MIT
#include "kvm/kvm.h"

#include "base/error.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

bool kvm_vcpu_init(KvmVcpu *vcpu, const KvmVm *vm, unsigned id, GError **error)
{
	*vcpu = (KvmVcpu){.id = id, .run_size = vm->system->run_size};
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: KVM_CREATE_VCPU", id);

	void *run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);

	if (run == MAP_FAILED) {
		umbra_fail_errno(error, errno, "vcpu %u: cannot map its run page", id);
		kvm_vcpu_finish(vcpu);
		return false;
	}
	vcpu->run = run;
	return true;
}

void kvm_vcpu_finish(KvmVcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

static bool call(const KvmVcpu *vcpu, unsigned long request, const char *name, void *argument,
		 GError **error)
{
	if (ioctl(vcpu->fd, request, argument) < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: %s", vcpu->id, name);
	return true;
}

bool kvm_vcpu_set_cpuid(KvmVcpu *vcpu, struct kvm_cpuid2 *cpuid, GError **error)
{
	return call(vcpu, KVM_SET_CPUID2, "KVM_SET_CPUID2", cpuid, error);
}

bool kvm_vcpu_get_regs(const KvmVcpu *vcpu, struct kvm_regs *ret_regs, GError **error)
{
	return call(vcpu, KVM_GET_REGS, "KVM_GET_REGS", ret_regs, error);
}

bool kvm_vcpu_set_regs(KvmVcpu *vcpu, const struct kvm_regs *regs, GError **error)
{
	return call(vcpu, KVM_SET_REGS, "KVM_SET_REGS", (void *)regs, error);
}

bool kvm_vcpu_get_sregs(const KvmVcpu *vcpu, struct kvm_sregs *ret_sregs, GError **error)
{
	return call(vcpu, KVM_GET_SREGS, "KVM_GET_SREGS", ret_sregs, error);
}

bool kvm_vcpu_set_sregs(KvmVcpu *vcpu, const struct kvm_sregs *sregs, GError **error)
{
	return call(vcpu, KVM_SET_SREGS, "KVM_SET_SREGS", (void *)sregs, error);
}

KvmRunResult kvm_vcpu_run(KvmVcpu *vcpu, GError **error)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
		return KVM_RUN_EXIT;
	if (errno == EINTR || errno == EAGAIN)
		return KVM_RUN_INTERRUPTED;
	/* Whose run this was, a guest's end says anyway. */
	umbra_fail_errno(error, errno, "KVM_RUN");
	return KVM_RUN_FAILED;
}
