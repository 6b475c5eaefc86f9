// SPDX-License-Identifier: MIT
/* The seam on a KVM vCPU's file, and what KVM serves there. */
#include "cet/registers.h"

#include "umbra/one_reg.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

enum {
	BATCH_MAX = 16,
	MSR_LIST_MAX = 1024, /* KVM 7.3 lists 130 at most */
};

typedef struct MsrBatch {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[BATCH_MAX];
} MsrBatch;

/*
 * Fills a batch with the MSRs at the front of `ids`, and returns how many they are;
 * `values` is NULL for a batch to read.
 */
static inline unsigned batch_fill(MsrBatch *batch, const uint64_t *ids, const uint64_t *values,
				  unsigned n)
{
	unsigned room = n < BATCH_MAX ? n : BATCH_MAX;
	unsigned length = 0;

	for (; length < room; length++) {
		struct kvm_msr_entry *entry = &batch->entries[length];

		if (UMBRA_ONE_REG_TYPE(ids[length]) != UMBRA_ONE_REG_TYPE_MSR)
			break;
		entry->index = (uint32_t)UMBRA_ONE_REG_INDEX(ids[length]);
		entry->reserved = 0;
		entry->data = values ? values[length] : 0;
	}
	batch->head.nmsrs = length;
	batch->head.pad = 0;
	return length;
}

/* 1 if moved, 0 if KVM refuses this register or value (always EINVAL), -errno otherwise. */
static inline int one_reg(const CetVcpu *vcpu, unsigned long request, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	if (ioctl(vcpu->fd, request, &reg) == 0)
		return 1;
	return errno == EINVAL ? 0 : -errno;
}

/* The MSRs at the front go in one batch, what follows one by one: an MSR may do so too. */
static int get(void *self, const uint64_t *ids, uint64_t *ret_values, unsigned n)
{
	const CetVcpu *vcpu = self;
	unsigned done = 0;
	MsrBatch batch;
	unsigned length = vcpu->all_by_one_reg ? 0 : batch_fill(&batch, ids, NULL, n);

	if (length) {
		int moved = ioctl(vcpu->fd, KVM_GET_MSRS, &batch);

		if (moved < 0)
			return -errno;
		for (; done < (unsigned)moved; done++)
			ret_values[done] = batch.entries[done].data;
		if (done < length)
			return (int)done;
	}
	for (; done < n; done++) {
		int moved = one_reg(vcpu, KVM_GET_ONE_REG, ids[done], &ret_values[done]);

		if (moved <= 0)
			return moved < 0 ? moved : (int)done;
	}
	return (int)done;
}

static int set(void *self, const uint64_t *ids, const uint64_t *values, unsigned n)
{
	const CetVcpu *vcpu = self;
	unsigned done = 0;
	MsrBatch batch;
	unsigned length = vcpu->all_by_one_reg ? 0 : batch_fill(&batch, ids, values, n);

	if (length) {
		int moved = ioctl(vcpu->fd, KVM_SET_MSRS, &batch);

		if (moved < 0)
			return -errno;
		done = (unsigned)moved;
		/* KVM stops at the first MSR that it refuses, and calls that a success. */
		if (done < length)
			return (int)done;
	}
	for (; done < n; done++) {
		uint64_t value = values[done];
		int moved = one_reg(vcpu, KVM_SET_ONE_REG, ids[done], &value);

		if (moved <= 0)
			return moved < 0 ? moved : (int)done;
	}
	return (int)done;
}

RegIo cet_vcpu_io(CetVcpu *vcpu)
{
	return (RegIo){get, set, vcpu};
}

static uint32_t set_of_msr(uint32_t index)
{
	if (index == MSR_IA32_XSS)
		return CET_HAS_XSS;
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (cet_registers[i].msr && cet_registers[i].msr == index)
			return 1u << i;
	return 0;
}

int cet_discover(int kvm_fd, int vcpu_fd, uint32_t *ret_set)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[MSR_LIST_MAX];
	} msrs = {.head.nmsrs = MSR_LIST_MAX};
	struct {
		struct kvm_reg_list head;
		uint64_t ids[64];
	} regs = {.head.n = 64};
	uint32_t found = 0;

	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &msrs) < 0)
		return -errno;
	for (uint32_t i = 0; i < msrs.head.nmsrs; i++)
		found |= set_of_msr(msrs.indices[i]);

	/* Before Linux 6.18 x86 has no such list, and no guest_ssp either. */
	if (ioctl(vcpu_fd, KVM_GET_REG_LIST, &regs) < 0) {
		if (errno != EINVAL && errno != ENOTTY)
			return -errno;
		regs.head.n = 0;
	}
	for (uint64_t i = 0; i < regs.head.n; i++)
		if (regs.ids[i] == UMBRA_ONE_REG_GUEST_SSP)
			found |= 1u << CET_GUEST_SSP;
	*ret_set = found;
	return 0;
}
