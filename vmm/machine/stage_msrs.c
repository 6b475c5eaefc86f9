// SPDX-License-Identifier: MIT
/*
 * The MSRs of a vCPU: all that KVM lists, and some that it serves without listing them.
 * A load writes those that differ from what a fresh vCPU has, so that what cannot be
 * written does no harm as long as nobody asks for another value.
 */
#include "machine/stages.h"

#include "base/error.h"
#include "kvm/kvm_state.h"
#include "state/msr_ranges.h"

#include <string.h>

#define MSR_TSC_DEADLINE  0x6e0
#define MSR_MTRR_DEF_TYPE 0x2ff

/* Listed by KVM, and not here. */
static const MsrRange left_out[] = {
	{0x10, 0x10, "the TSC runs on: the stage tsc"},
	{0x11, 0x12,
	 "older numbers of kvm-wall-clock-new and kvm-system-time-new: the same "
	 "registers (arch/x86/kvm/msrs.c)"},
	{0x6a0, 0x6a8, "the stage cet"},
	{0xda0, 0xda0, "the stage cet, before the registers that XSS manages"},
	{0x40000000, 0x40000fff,
	 "Hyper-V's: guests whose CPUID does not speak of Hyper-V have none, and some count on by "
	 "themselves"},
	{0x4b564d07, 0x4b564d07, "a command (KVM_ASYNC_PF_ACK): reads as zero"},
	{0xc0000302, 0xc0000303, "commands (PERF_CNTR_GLOBAL_STATUS_CLR, _SET): read as zero"},
};

/*
 * What VMX could do, as KVM has it even for guests without: those read none of it, and
 * hosts without nesting have none (arch/x86/kvm/vmx/vmx.c, vmx_get_msr()).
 */
static const MsrRange vmx_capabilities = {0x480, 0x491, "the guest has no VMX"};

const char *stage_msrs_left_out(uint32_t index)
{
	const MsrRange *range = msr_range_find(left_out, G_N_ELEMENTS(left_out), index);

	return range ? range->why : NULL;
}

static struct kvm_msr_entry *entries_of(const GArray *msrs)
{
	return (struct kvm_msr_entry *)(void *)msrs->data;
}

/* What a save asks for; `*ret_listed` of them are from KVM's list. */
static GArray *all_msrs(const Transfer *transfer, guint *ret_listed)
{
	const GArray *list = transfer->msrs;
	GArray *msrs = g_array_sized_new(FALSE, TRUE, sizeof(struct kvm_msr_entry), list->len);

	for (guint i = 0; i < list->len; i++) {
		struct kvm_msr_entry entry = {.index = g_array_index(list, uint32_t, i)};

		if (!stage_msrs_left_out(entry.index) &&
		    (transfer->vmx || !msr_range_find(&vmx_capabilities, 1, entry.index)))
			g_array_append_val(msrs, entry);
	}
	*ret_listed = msrs->len;
	for (unsigned i = 0; i < msr_n_unlisted; i++)
		for (uint32_t index = msr_unlisted[i].first; index <= msr_unlisted[i].last;
		     index++) {
			struct kvm_msr_entry entry = {.index = index};

			g_array_append_val(msrs, entry);
		}
	return msrs;
}

/* Reads them all; those that cannot be read get index 0 and data 0: no MSR to save has that one. */
static bool read_each(const KvmVcpu *vcpu, GArray *msrs, GError **error)
{
	for (unsigned at = 0; at < msrs->len;) {
		unsigned done;

		if (!kvm_vcpu_get_msrs(vcpu, entries_of(msrs) + at, msrs->len - at, &done, error))
			return false;
		at += done;
		if (at < msrs->len)
			entries_of(msrs)[at++] = (struct kvm_msr_entry){0};
	}
	return true;
}

static bool save_all(Transfer *transfer, KvmVcpu *vcpu, GArray *ret_msrs, GError **error)
{
	guint listed;
	g_autoptr(GArray) msrs = all_msrs(transfer, &listed);

	if (!read_each(vcpu, msrs, error))
		return false;
	g_array_set_size(ret_msrs, 0);
	for (guint i = 0; i < msrs->len; i++) {
		const struct kvm_msr_entry *entry = &entries_of(msrs)[i];

		if (entry->index &&
		    (i < listed || entry->data || entry->index == MSR_MTRR_DEF_TYPE))
			g_array_append_val(ret_msrs, *entry);
	}
	return true;
}

bool stage_msrs_save(Transfer *transfer, KvmVcpu *vcpu, VcpuState *ret_state, GError **error)
{
	const GArray *like;

	if (!transfer->loaded)
		return save_all(transfer, vcpu, ret_state->msrs, error);
	/* Reading back: the same ones in the same order. One that is not there holds zero. */
	like = transfer->loaded->msrs;
	g_array_set_size(ret_state->msrs, 0);
	g_array_append_vals(ret_state->msrs, like->data, like->len);
	if (!read_each(vcpu, ret_state->msrs, error))
		return false;
	for (guint i = 0; i < like->len; i++)
		entries_of(ret_state->msrs)[i].index = entries_of(like)[i].index;
	return true;
}

static bool is_served(const Transfer *transfer, uint32_t index, guint *hint)
{
	const GArray *list = transfer->msrs;

	/* States are in KVM's order, so the next one is near where the last was. */
	for (guint i = 0; i < list->len; i++) {
		guint at = (*hint + i) % list->len;

		if (g_array_index(list, uint32_t, at) == index) {
			*hint = at + 1;
			return true;
		}
	}
	return msr_range_find(msr_unlisted, msr_n_unlisted, index) != NULL;
}

static bool refuse(const KvmVcpu *vcpu, const struct kvm_msr_entry *entry, UmbraError code,
		   const char *why, GError **error)
{
	const char *name = msr_name(entry->index);

	return umbra_fail(error, code, "vcpu %u: MSR %#x%s%s%s = %#lx: %s", vcpu->id, entry->index,
			  name ? " (" : "", name ? name : "", name ? ")" : "",
			  (uint64_t)entry->data, why);
}

static bool check_each(const Transfer *transfer, const KvmVcpu *vcpu, const GArray *msrs,
		       GError **error)
{
	guint hint = 0;

	for (guint i = 0; i < msrs->len; i++) {
		const struct kvm_msr_entry *entry = &entries_of(msrs)[i];
		const char *why = stage_msrs_left_out(entry->index);

		if (why)
			return refuse(vcpu, entry, UMBRA_ERROR_INPUT,
				      "does not travel among the MSRs", error);
		if (entry->data && !is_served(transfer, entry->index, &hint))
			return refuse(vcpu, entry, UMBRA_ERROR_INCOMPATIBLE,
				      "this host's KVM does not serve it", error);
	}
	return true;
}

bool stage_msrs_load(Transfer *transfer, KvmVcpu *vcpu, const VcpuState *state, GError **error)
{
	const GArray *wanted = state->msrs;
	g_autoptr(GArray) fresh =
		g_array_sized_new(FALSE, FALSE, sizeof(struct kvm_msr_entry), wanted->len);
	g_autoptr(GArray) changed = g_array_new(FALSE, FALSE, sizeof(struct kvm_msr_entry));
	const struct kvm_msr_entry *deadline = NULL;

	if (!check_each(transfer, vcpu, wanted, error))
		return false;
	g_array_append_vals(fresh, wanted->data, wanted->len);
	if (!read_each(vcpu, fresh, error))
		return false;
	for (guint i = 0; i < wanted->len; i++) {
		const struct kvm_msr_entry *entry = &entries_of(wanted)[i];

		if (entry->data == entries_of(fresh)[i].data)
			continue;
		/* Last of all: KVM arms the timer at once, by TSC and LAPIC as they are then. */
		if (entry->index == MSR_TSC_DEADLINE)
			deadline = entry;
		else
			g_array_append_val(changed, *entry);
	}
	if (deadline)
		g_array_append_vals(changed, deadline, 1);
	return changed->len == 0 ||
	       kvm_vcpu_set_msrs(vcpu, entries_of(changed), changed->len, error);
}

/* A deadline that has passed is gone: the timer has fired. */
void stage_msrs_settle(const VcpuState *loaded, VcpuState *found)
{
	for (guint i = 0; i < found->msrs->len; i++) {
		struct kvm_msr_entry *entry = &entries_of(found->msrs)[i];

		if (entry->index == MSR_TSC_DEADLINE && entry->data == 0)
			entry->data = entries_of(loaded->msrs)[i].data;
	}
}
