// SPDX-License-Identifier: MIT
/* KVM's log of written pages (Documentation/virt/kvm/api.rst, 4.8, 4.117, 7.16). */
#include "kvm/kvm.h"

#include "base/error.h"

#include <errno.h>
#include <sys/ioctl.h>

bool kvm_vm_manual_dirty_log(KvmVm *vm, bool *ret_manual, GError **error)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE},
	};

	*ret_manual = kvm_system_extension(vm->system, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) &
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	if (*ret_manual && ioctl(vm->fd, KVM_ENABLE_CAP, &cap) < 0)
		return umbra_fail_errno(error, errno,
					"KVM_ENABLE_CAP KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	return true;
}

bool kvm_vm_get_dirty_log(const KvmVm *vm, unsigned slot, uint64_t *ret_bitmap, GError **error)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = ret_bitmap};

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return umbra_fail_errno(error, errno, "KVM_GET_DIRTY_LOG: slot %u", slot);
	return true;
}

bool kvm_vm_clear_dirty_log(const KvmVm *vm, unsigned slot, uint64_t first_page, uint64_t pages,
			    const uint64_t *bitmap, GError **error)
{
	struct kvm_clear_dirty_log log = {
		.slot = slot,
		.num_pages = (uint32_t)pages,
		.first_page = first_page,
		.dirty_bitmap = (void *)(uintptr_t)bitmap,
	};

	if (ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log) < 0)
		return umbra_fail_errno(error, errno,
					"KVM_CLEAR_DIRTY_LOG: slot %u, %lu pages from %lu", slot,
					pages, first_page);
	return true;
}
