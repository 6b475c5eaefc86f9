// SPDX-License-Identifier: MIT
/* The seam on a KVM vCPU's file, and what KVM serves there. */
#include "umbra/cet.h"

#include "umbra/one_reg.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

enum {
	BATCH_MAX = 16,
	MSR_LIST_MAX = 1024, /* KVM 7.3 lists 130 at most */
	MSR_IA32_XSS = 0xda0,
};

typedef struct MsrBatch {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[BATCH_MAX];
} MsrBatch;

/* How many values from the first on are MSRs and go into one batch. */
static unsigned batch_length(const CetVcpu *vcpu, const RegValue *values, unsigned n)
{
	unsigned length = 0;

	if (vcpu->all_by_one_reg)
		return 0;
	while (length < n && length < BATCH_MAX &&
	       UMBRA_ONE_REG_TYPE(values[length].one_reg) == UMBRA_ONE_REG_TYPE_MSR)
		length++;
	return length;
}

static void batch_init(MsrBatch *batch, const RegValue *values, unsigned n)
{
	batch->head = (struct kvm_msrs){.nmsrs = n};
	for (unsigned i = 0; i < n; i++)
		batch->entries[i] = (struct kvm_msr_entry){
			.index = (uint32_t)UMBRA_ONE_REG_INDEX(values[i].one_reg),
			.data = values[i].value,
		};
}

/* 1 if moved, 0 if KVM refuses this register or value (always EINVAL), -errno otherwise. */
static int one_reg(const CetVcpu *vcpu, unsigned long request, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	if (ioctl(vcpu->fd, request, &reg) == 0)
		return 1;
	return errno == EINVAL ? 0 : -errno;
}

static int get(void *self, RegValue *values, unsigned n)
{
	const CetVcpu *vcpu = self;
	unsigned done = 0;

	while (done < n) {
		unsigned length = batch_length(vcpu, values + done, n - done);
		int moved;

		if (length) {
			MsrBatch batch;

			batch_init(&batch, values + done, length);
			moved = ioctl(vcpu->fd, KVM_GET_MSRS, &batch);
			for (int i = 0; i < moved; i++)
				values[done + (unsigned)i].value = batch.entries[i].data;
			if (moved < 0)
				moved = -errno;
		} else {
			length = 1;
			moved = one_reg(vcpu, KVM_GET_ONE_REG, values[done].one_reg,
					&values[done].value);
		}
		if (moved < 0)
			return moved;
		done += (unsigned)moved;
		if ((unsigned)moved < length)
			break;
	}
	return (int)done;
}

static int set(void *self, const RegValue *values, unsigned n)
{
	const CetVcpu *vcpu = self;
	unsigned done = 0;

	while (done < n) {
		unsigned length = batch_length(vcpu, values + done, n - done);
		int moved;

		if (length) {
			MsrBatch batch;

			batch_init(&batch, values + done, length);
			moved = ioctl(vcpu->fd, KVM_SET_MSRS, &batch);
			if (moved < 0)
				moved = -errno;
		} else {
			uint64_t value = values[done].value;

			length = 1;
			moved = one_reg(vcpu, KVM_SET_ONE_REG, values[done].one_reg, &value);
		}
		if (moved < 0)
			return moved;
		done += (unsigned)moved;
		/* KVM stops at the first MSR it refuses, and calls that a success. */
		if ((unsigned)moved < length)
			break;
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
