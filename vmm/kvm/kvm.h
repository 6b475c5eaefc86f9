// SPDX-License-Identifier: MIT
/*
 * KVM's ioctls, thin: each call is one ioctl (or says otherwise) with one error
 * that names what was attempted. Nothing here decides anything.
 */
#ifndef UMBRA_KVM_KVM_H
#define UMBRA_KVM_KVM_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVM_DEFAULT_PATH "/dev/kvm"

/* The system file: what this host's KVM is and can do. */
typedef struct KvmSystem {
	int fd;
	size_t run_size; /* bytes of a vCPU's shared page(s) */
} KvmSystem;

/*
 * Opens `path` and checks the API version. Errors say which it was: absent, no
 * permission, not KVM (all UMBRA_ERROR_UNSUPPORTED).
 */
bool kvm_system_init(KvmSystem *system, const char *path, GError **error);
void kvm_system_finish(KvmSystem *system);

/* KVM_CHECK_EXTENSION on the system file; 0 for what it does not know. */
int kvm_system_extension(const KvmSystem *system, int capability);

/* KVM_GET_SUPPORTED_CPUID; free with g_free. */
struct kvm_cpuid2 *kvm_system_cpuid(const KvmSystem *system, GError **error);

/* A virtual machine. */
typedef struct KvmVm {
	int fd;
	const KvmSystem *system;
} KvmVm;

bool kvm_vm_init(KvmVm *vm, const KvmSystem *system, GError **error);
void kvm_vm_finish(KvmVm *vm);

/*
 * KVM_SET_USER_MEMORY_REGION: `size` bytes at `gpa` are those at `host`. `flags` are
 * KVM_MEM_*; of a slot that exists, they are what may change.
 */
bool kvm_vm_set_memory(KvmVm *vm, unsigned slot, uint64_t gpa, uint64_t size, void *host,
		       uint32_t flags, GError **error);

/*
 * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, where KVM has it (*ret_manual): then reading the log
 * does not clear it. Without KVM_DIRTY_LOG_INITIALLY_SET: a log that is turned on is
 * empty, and all pages are write-protected at once.
 */
bool kvm_vm_manual_dirty_log(KvmVm *vm, bool *ret_manual, GError **error);

/*
 * KVM_GET_DIRTY_LOG: a bit for each 4 KiB page of the slot; room for whole words. If the
 * log is not a manual one, this clears it.
 */
bool kvm_vm_get_dirty_log(const KvmVm *vm, unsigned slot, uint64_t *ret_bitmap, GError **error);

/*
 * KVM_CLEAR_DIRTY_LOG: pages whose bit is set become clean and write-protected.
 * `first_page` is a multiple of 64, and so is `pages` unless they reach to the end of
 * the slot; below 2^32.
 */
bool kvm_vm_clear_dirty_log(const KvmVm *vm, unsigned slot, uint64_t first_page, uint64_t pages,
			    const uint64_t *bitmap, GError **error);

/* KVM_SET_TSS_ADDR: three pages that a host without unrestricted guest needs for real mode. */
bool kvm_vm_set_tss(KvmVm *vm, uint64_t gpa, GError **error);

/* KVM_CAP_SPLIT_IRQCHIP: LAPICs in the kernel, an I/O APIC with `pins` here. Before any vCPU. */
bool kvm_vm_split_irqchip(KvmVm *vm, unsigned pins, GError **error);

/* KVM_SIGNAL_MSI. A message that no LAPIC takes is no error: hardware drops it too. */
void kvm_vm_signal_msi(const KvmVm *vm, uint64_t address, uint32_t data);

/* KVM_SET_GSI_ROUTING replaces the whole table. */
bool kvm_vm_set_routes(KvmVm *vm, const struct kvm_irq_routing_entry *entries, unsigned n,
		       GError **error);

/* One virtual CPU. `run` is shared with the kernel. */
typedef struct KvmVcpu {
	int fd;
	unsigned id;
	struct kvm_run *run;
	size_t run_size;
} KvmVcpu;

bool kvm_vcpu_init(KvmVcpu *vcpu, const KvmVm *vm, unsigned id, GError **error);
void kvm_vcpu_finish(KvmVcpu *vcpu);

bool kvm_vcpu_set_cpuid(KvmVcpu *vcpu, struct kvm_cpuid2 *cpuid, GError **error);
bool kvm_vcpu_get_regs(const KvmVcpu *vcpu, struct kvm_regs *ret_regs, GError **error);
bool kvm_vcpu_set_regs(KvmVcpu *vcpu, const struct kvm_regs *regs, GError **error);
bool kvm_vcpu_get_sregs(const KvmVcpu *vcpu, struct kvm_sregs *ret_sregs, GError **error);
bool kvm_vcpu_set_sregs(KvmVcpu *vcpu, const struct kvm_sregs *sregs, GError **error);

/* KVM_SET_MSRS, in as few batches as there can be; a refusal names the MSR and its value. */
bool kvm_vcpu_set_msrs(KvmVcpu *vcpu, const struct kvm_msr_entry *entries, unsigned n,
		       GError **error);

typedef enum KvmRunResult {
	KVM_RUN_EXIT,	     /* run->exit_reason says why */
	KVM_RUN_INTERRUPTED, /* a signal or immediate_exit */
	KVM_RUN_FAILED,	     /* *error is set */
} KvmRunResult;

KvmRunResult kvm_vcpu_run(KvmVcpu *vcpu, GError **error);

#endif
