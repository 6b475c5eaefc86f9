// SPDX-License-Identifier: MIT
#include "kvm/kvm_state.h"

#include "base/error.h"
#include "state/machine_state.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	XSAVE_SIZE_MIN = sizeof(struct kvm_xsave), /* what KVM_GET_XSAVE writes */
	MSRS_AT_ONCE = 128,			   /* KVM takes fewer than 256 */
};

GArray *kvm_system_msr_list(const KvmSystem *system, GError **error)
{
	/* With no room KVM fails with E2BIG and tells how many there are: 130 in Linux 7.3. */
	for (unsigned n = 256;;) {
		g_autofree struct kvm_msr_list *list =
			g_malloc0(sizeof(*list) + n * sizeof(list->indices[0]));

		list->nmsrs = n;
		if (ioctl(system->fd, KVM_GET_MSR_INDEX_LIST, list) == 0) {
			GArray *msrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));

			return g_array_append_vals(msrs, list->indices, list->nmsrs);
		}
		if (errno != E2BIG || list->nmsrs <= n) {
			umbra_fail_errno(error, errno, "KVM_GET_MSR_INDEX_LIST");
			return NULL;
		}
		n = list->nmsrs;
	}
}

size_t kvm_system_xsave_size(const KvmSystem *system)
{
	int size = kvm_system_extension(system, KVM_CAP_XSAVE2);

	return MAX(size, XSAVE_SIZE_MIN);
}

bool kvm_vm_report_all_events(KvmVm *vm, GError **error)
{
	static const struct {
		uint32_t number;
		const char *name;
	} wanted[] = {
		{KVM_CAP_EXCEPTION_PAYLOAD, "KVM_CAP_EXCEPTION_PAYLOAD"},
		{KVM_CAP_X86_TRIPLE_FAULT_EVENT, "KVM_CAP_X86_TRIPLE_FAULT_EVENT"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(wanted); i++) {
		struct kvm_enable_cap cap = {.cap = wanted[i].number, .args = {1}};

		if (kvm_system_extension(vm->system, (int)cap.cap) &&
		    ioctl(vm->fd, KVM_ENABLE_CAP, &cap) < 0)
			return umbra_fail_errno(error, errno, "KVM_ENABLE_CAP %s", wanted[i].name);
	}
	return true;
}

bool kvm_vm_get_clock(const KvmVm *vm, struct kvm_clock_data *ret_clock, GError **error)
{
	memset(ret_clock, 0, sizeof(*ret_clock));
	if (ioctl(vm->fd, KVM_GET_CLOCK, ret_clock) < 0)
		return umbra_fail_errno(error, errno, "KVM_GET_CLOCK");
	return true;
}

bool kvm_vm_set_clock(KvmVm *vm, const struct kvm_clock_data *clock, GError **error)
{
	if (ioctl(vm->fd, KVM_SET_CLOCK, clock) < 0)
		return umbra_fail_errno(error, errno, "KVM_SET_CLOCK");
	return true;
}

static bool call(const KvmVcpu *vcpu, unsigned long request, const char *name, const void *argument,
		 GError **error)
{
	if (ioctl(vcpu->fd, request, argument) < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: %s", vcpu->id, name);
	return true;
}
/* Zeros first: KVM leaves what it does not know as it is. */
#define GET(request, to)   (memset(to, 0, sizeof(*(to))), call(vcpu, request, #request, to, error))
#define SET(request, from) call(vcpu, request, #request, from, error)

bool kvm_vcpu_get_mp_state(const KvmVcpu *vcpu, struct kvm_mp_state *ret_state, GError **error)
{
	return GET(KVM_GET_MP_STATE, ret_state);
}

bool kvm_vcpu_set_mp_state(KvmVcpu *vcpu, const struct kvm_mp_state *state, GError **error)
{
	return SET(KVM_SET_MP_STATE, state);
}

bool kvm_vcpu_get_sregs2(const KvmVcpu *vcpu, struct kvm_sregs2 *ret_sregs, GError **error)
{
	return GET(KVM_GET_SREGS2, ret_sregs);
}

bool kvm_vcpu_set_sregs2(KvmVcpu *vcpu, const struct kvm_sregs2 *sregs, GError **error)
{
	return SET(KVM_SET_SREGS2, sregs);
}

bool kvm_vcpu_get_xcrs(const KvmVcpu *vcpu, struct kvm_xcrs *ret_xcrs, GError **error)
{
	return GET(KVM_GET_XCRS, ret_xcrs);
}

bool kvm_vcpu_set_xcrs(KvmVcpu *vcpu, const struct kvm_xcrs *xcrs, GError **error)
{
	return SET(KVM_SET_XCRS, xcrs);
}

bool kvm_vcpu_get_debugregs(const KvmVcpu *vcpu, struct kvm_debugregs *ret_regs, GError **error)
{
	return GET(KVM_GET_DEBUGREGS, ret_regs);
}

bool kvm_vcpu_set_debugregs(KvmVcpu *vcpu, const struct kvm_debugregs *regs, GError **error)
{
	return SET(KVM_SET_DEBUGREGS, regs);
}

bool kvm_vcpu_get_lapic(const KvmVcpu *vcpu, struct kvm_lapic_state *ret_lapic, GError **error)
{
	return GET(KVM_GET_LAPIC, ret_lapic);
}

bool kvm_vcpu_set_lapic(KvmVcpu *vcpu, const struct kvm_lapic_state *lapic, GError **error)
{
	return SET(KVM_SET_LAPIC, lapic);
}

bool kvm_vcpu_get_events(const KvmVcpu *vcpu, struct kvm_vcpu_events *ret_events, GError **error)
{
	return GET(KVM_GET_VCPU_EVENTS, ret_events);
}

bool kvm_vcpu_set_events(KvmVcpu *vcpu, const struct kvm_vcpu_events *events, GError **error)
{
	return SET(KVM_SET_VCPU_EVENTS, events);
}

bool kvm_vcpu_get_xsave(const KvmVcpu *vcpu, void *ret_area, size_t size, GError **error)
{
	memset(ret_area, 0, size);
	if (size > XSAVE_SIZE_MIN)
		return call(vcpu, KVM_GET_XSAVE2, "KVM_GET_XSAVE2", ret_area, error);
	return call(vcpu, KVM_GET_XSAVE, "KVM_GET_XSAVE", ret_area, error);
}

bool kvm_vcpu_set_xsave(KvmVcpu *vcpu, const void *area, GError **error)
{
	return SET(KVM_SET_XSAVE, area);
}

bool kvm_vcpu_get_tsc_khz(const KvmVcpu *vcpu, uint32_t *ret_khz, GError **error)
{
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	if (khz < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: KVM_GET_TSC_KHZ", vcpu->id);
	*ret_khz = (uint32_t)khz;
	return true;
}

bool kvm_vcpu_set_tsc_khz(KvmVcpu *vcpu, uint32_t khz, GError **error)
{
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: KVM_SET_TSC_KHZ %u", vcpu->id, khz);
	return true;
}

static int tsc_offset(const KvmVcpu *vcpu, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return ioctl(vcpu->fd, request, &attr);
}

bool kvm_vcpu_has_tsc_offset(const KvmVcpu *vcpu)
{
	uint64_t unused;

	return tsc_offset(vcpu, KVM_HAS_DEVICE_ATTR, &unused) == 0;
}

bool kvm_vcpu_get_tsc_offset(const KvmVcpu *vcpu, uint64_t *ret_offset, GError **error)
{
	if (tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, ret_offset) < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: reading KVM_VCPU_TSC_OFFSET",
					vcpu->id);
	return true;
}

bool kvm_vcpu_set_tsc_offset(KvmVcpu *vcpu, uint64_t offset, GError **error)
{
	if (tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset) < 0)
		return umbra_fail_errno(error, errno, "vcpu %u: KVM_VCPU_TSC_OFFSET %#lx", vcpu->id,
					offset);
	return true;
}

bool kvm_vcpu_tell_paused(KvmVcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0) == 0;
}

bool kvm_vcpu_is_nested(const KvmVcpu *vcpu)
{
	struct kvm_nested_state state = {.size = sizeof(state)};

	/* E2BIG: there is more than the header, so there is a guest's guest. */
	if (ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &state) < 0)
		return errno == E2BIG;
	if (state.format == KVM_STATE_NESTED_FORMAT_VMX)
		return state.flags || state.hdr.vmx.vmxon_pa != ~0ULL;
	return state.flags & KVM_STATE_NESTED_GUEST_MODE;
}

typedef struct MsrBatch {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[MSRS_AT_ONCE];
} MsrBatch;

/* KVM stops at the first MSR that it refuses, and calls that a success. */
static bool transfer_msrs(const KvmVcpu *vcpu, unsigned long request, const char *name,
			  const struct kvm_msr_entry *entries, struct kvm_msr_entry *ret_entries,
			  unsigned n, unsigned *ret_done, GError **error)
{
	unsigned done = 0;
	MsrBatch batch;

	while (done < n) {
		unsigned length = MIN(n - done, MSRS_AT_ONCE);
		int moved;

		batch.head = (struct kvm_msrs){.nmsrs = length};
		memcpy(batch.entries, entries + done, length * sizeof(*entries));
		moved = ioctl(vcpu->fd, request, &batch);
		if (moved < 0)
			return umbra_fail_errno(error, errno, "vcpu %u: %s", vcpu->id, name);
		if (ret_entries)
			memcpy(ret_entries + done, batch.entries,
			       (unsigned)moved * sizeof(*entries));
		done += (unsigned)moved;
		if ((unsigned)moved < length)
			break;
	}
	*ret_done = done;
	return true;
}

bool kvm_vcpu_get_msrs(const KvmVcpu *vcpu, struct kvm_msr_entry *entries, unsigned n,
		       unsigned *ret_done, GError **error)
{
	return transfer_msrs(vcpu, KVM_GET_MSRS, "KVM_GET_MSRS", entries, entries, n, ret_done,
			     error);
}

bool kvm_vcpu_set_msrs(KvmVcpu *vcpu, const struct kvm_msr_entry *entries, unsigned n,
		       GError **error)
{
	unsigned done;

	if (!transfer_msrs(vcpu, KVM_SET_MSRS, "KVM_SET_MSRS", entries, NULL, n, &done, error))
		return false;
	if (done < n) {
		const char *name = msr_name(entries[done].index);

		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "vcpu %u: KVM refuses MSR %#x%s%s%s = %#lx", vcpu->id,
				  entries[done].index, name ? " (" : "", name ? name : "",
				  name ? ")" : "", (uint64_t)entries[done].data);
	}
	return true;
}
