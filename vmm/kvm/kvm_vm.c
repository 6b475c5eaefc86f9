// SPDX-License-Identifier: MIT
#include "kvm/kvm.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool kvm_vm_init(KvmVm *vm, const KvmSystem *system, GError **error)
{
	*vm = (KvmVm){.system = system};
	do {
		/* Creating a VM waits for other tasks' locks and gives EINTR on a signal. */
		vm->fd = ioctl(system->fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return umbra_fail_errno(error, errno, "KVM_CREATE_VM");
	return true;
}

void kvm_vm_finish(KvmVm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
}

bool kvm_vm_set_memory(KvmVm *vm, unsigned slot, uint64_t gpa, uint64_t size, void *host,
		       uint32_t flags, GError **error)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return umbra_fail_errno(error, errno,
					"KVM_SET_USER_MEMORY_REGION: slot %u, %#lx bytes at %#lx",
					slot, size, gpa);
	return true;
}

bool kvm_vm_set_tss(KvmVm *vm, uint64_t gpa, GError **error)
{
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)gpa) < 0)
		return umbra_fail_errno(error, errno, "KVM_SET_TSS_ADDR");
	return true;
}

bool kvm_vm_split_irqchip(KvmVm *vm, unsigned pins, GError **error)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {pins}};

	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap) < 0)
		return umbra_fail_errno(error, errno, "KVM_ENABLE_CAP KVM_CAP_SPLIT_IRQCHIP");
	return true;
}

void kvm_vm_signal_msi(const KvmVm *vm, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = (uint32_t)(address >> 32),
		.data = data,
	};

	(void)ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

bool kvm_vm_set_routes(KvmVm *vm, const struct kvm_irq_routing_entry *entries, unsigned n,
		       GError **error)
{
	g_autofree struct kvm_irq_routing *routing =
		g_malloc0(sizeof(*routing) + n * sizeof(*entries));

	routing->nr = n;
	memcpy(routing->entries, entries, n * sizeof(*entries));
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing) < 0)
		return umbra_fail_errno(error, errno, "KVM_SET_GSI_ROUTING: %u entries", n);
	return true;
}
