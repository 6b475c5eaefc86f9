// SPDX-License-Identifier: MIT
#include "machine/stages.h"

#include "base/error.h"
#include "kvm/kvm_state.h"

#include <string.h>

#define STAGE(name)                                                                         \
	static bool name(Transfer *transfer G_GNUC_UNUSED, KvmVcpu *vcpu, VcpuState *state, \
			 GError **error)
#define LOAD_STAGE(name)                                                                          \
	static bool name(Transfer *transfer G_GNUC_UNUSED, KvmVcpu *vcpu, const VcpuState *state, \
			 GError **error)

STAGE(tsc_khz_save)
{
	return kvm_vcpu_get_tsc_khz(vcpu, &state->tsc_khz, error);
}

LOAD_STAGE(tsc_khz_load)
{
	return clock_load_tsc_khz(transfer->system, transfer->moment.host_khz, vcpu, state->tsc_khz,
				  error);
}

STAGE(tsc_save)
{
	return clock_save_tsc(&transfer->moment, vcpu, state, error);
}

LOAD_STAGE(tsc_load)
{
	return clock_load_tsc(&transfer->moment, vcpu, state, error);
}

STAGE(mp_state_save)
{
	return kvm_vcpu_get_mp_state(vcpu, &state->mp_state, error);
}

LOAD_STAGE(mp_state_load)
{
	return kvm_vcpu_set_mp_state(vcpu, &state->mp_state, error);
}

STAGE(regs_save)
{
	return kvm_vcpu_get_regs(vcpu, &state->regs, error);
}

LOAD_STAGE(regs_load)
{
	return kvm_vcpu_set_regs(vcpu, &state->regs, error);
}

STAGE(sregs_save)
{
	return kvm_vcpu_get_sregs2(vcpu, &state->sregs, error);
}

LOAD_STAGE(sregs_load)
{
	return kvm_vcpu_set_sregs2(vcpu, &state->sregs, error);
}

/* An unusable segment's type says nothing, and VMX sets "accessed" in it (vmx_set_segment()). */
static void sregs_settle(const VcpuState *loaded, VcpuState *found)
{
	const struct kvm_segment *from = &loaded->sregs.cs;
	struct kvm_segment *to = &found->sregs.cs;

	/* cs, ds, es, fs, gs, ss, tr, ldt, one behind the other (asm/kvm.h). */
	for (unsigned i = 0; i < 8; i++)
		if (from[i].unusable && to[i].unusable)
			to[i].type = from[i].type;
}

/* The legacy area's last 48 bytes are the host's word on itself, and KVM ignores them. */
enum { XSAVE_HOST_AREA = 464, XSAVE_HEADER = 512, XSAVE_SIZE_MIN = 576 };
/* Where MXCSR is, and the bit of SSE in XSTATE_BV, the header's first word (SDM 1, 13.4). */
enum { XSAVE_MXCSR = 24, XSAVE_SSE = 1 << 1 };

STAGE(xsave_save)
{
	g_byte_array_set_size(state->xsave, (guint)transfer->xsave_size);
	return kvm_vcpu_get_xsave(vcpu, state->xsave->data, transfer->xsave_size, error);
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

LOAD_STAGE(xsave_load)
{
	size_t n = state->xsave->len, size = transfer->xsave_size;

	if (n < XSAVE_SIZE_MIN)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "vcpu %u: xsave has %zu bytes, less than any XSAVE area",
				  vcpu->id, n);
	/* Hosts differ in the room they leave for states that the guest need not have. */
	if (n > size && !is_zero(state->xsave->data + size, n - size))
		return umbra_fail(
			error, UMBRA_ERROR_INCOMPATIBLE,
			"vcpu %u: xsave has %zu bytes in use, and this host's KVM takes %zu",
			vcpu->id, n, size);
	g_autofree uint8_t *area = g_malloc0(MAX(n, size));

	memcpy(area, state->xsave->data, n);
	return kvm_vcpu_set_xsave(vcpu, area, error);
}

/*
 * XSTATE_BV may call a component initial or not when it holds its initial values: KVM fills
 * those in where it is clear, so what is compared is the values. MXCSR of an initial SSE
 * is left as the host had it by CPUs that restore it wrongly (docs/lab.md).
 */
static void xsave_settle(const VcpuState *loaded, VcpuState *found)
{
	guint n = found->xsave->len;

	g_byte_array_set_size(found->xsave, loaded->xsave->len);
	if (loaded->xsave->len > n)
		memset(found->xsave->data + n, 0, loaded->xsave->len - n);
	memcpy(found->xsave->data + XSAVE_HOST_AREA, loaded->xsave->data + XSAVE_HOST_AREA,
	       XSAVE_HEADER + sizeof(uint64_t) - XSAVE_HOST_AREA);
	if (!(loaded->xsave->data[XSAVE_HEADER] & XSAVE_SSE))
		memcpy(found->xsave->data + XSAVE_MXCSR, loaded->xsave->data + XSAVE_MXCSR,
		       sizeof(uint32_t));
}

STAGE(xcrs_save)
{
	return kvm_vcpu_get_xcrs(vcpu, &state->xcrs, error);
}

LOAD_STAGE(xcrs_load)
{
	/* None: a host without XSAVE. */
	if (state->xcrs.nr_xcrs == 0)
		return true;
	if (state->xcrs.nr_xcrs > 1)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "vcpu %u: xcrs.count = %u: there is XCR0 alone", vcpu->id,
				  state->xcrs.nr_xcrs);
	return kvm_vcpu_set_xcrs(vcpu, &state->xcrs, error);
}

STAGE(debugregs_save)
{
	return kvm_vcpu_get_debugregs(vcpu, &state->debugregs, error);
}

LOAD_STAGE(debugregs_load)
{
	return kvm_vcpu_set_debugregs(vcpu, &state->debugregs, error);
}

STAGE(lapic_save)
{
	return kvm_vcpu_get_lapic(vcpu, &state->lapic, error);
}

LOAD_STAGE(lapic_load)
{
	return kvm_vcpu_set_lapic(vcpu, &state->lapic, error);
}

enum {
	LAPIC_PRIORITY = 0xa0, /* SDM 3A, table 11-1 */
	LAPIC_TRIGGER_MODE = 0x180,
	LAPIC_REQUESTS = 0x200,
	LAPIC_LVT_TIMER = 0x320,
};

static uint32_t *lapic_register(struct kvm_lapic_state *lapic, unsigned offset)
{
	return (uint32_t *)(void *)(lapic->regs + offset);
}

/*
 * The processor priority follows from others, and KVM reckons it anew. The timer may have
 * fired since: that is one bit of the requests, and of the trigger modes.
 */
static void lapic_settle(const VcpuState *loaded, VcpuState *found)
{
	struct kvm_lapic_state *from = (struct kvm_lapic_state *)&loaded->lapic;
	unsigned vector = *lapic_register(from, LAPIC_LVT_TIMER) & 0xff;
	uint32_t bit = 1u << vector % 32;

	*lapic_register(&found->lapic, LAPIC_PRIORITY) = *lapic_register(from, LAPIC_PRIORITY);
	for (unsigned i = 0; i < 2; i++) {
		unsigned offset = (i ? LAPIC_TRIGGER_MODE : LAPIC_REQUESTS) + vector / 32 * 16;
		uint32_t *to = lapic_register(&found->lapic, offset);

		*to = (*to & ~bit) | (*lapic_register(from, offset) & bit);
	}
}

static bool fail_cet(const KvmVcpu *vcpu, UmbraError code, const CetFault *fault, GError **error)
{
	char text[512];

	return umbra_fail(error, code, "vcpu %u: %s", vcpu->id,
			  cet_fault_text(fault, text, sizeof(text)));
}

static void copy_crs(VcpuState *state)
{
	state->cet.cr0 = state->sregs.cr0;
	state->cet.cr4 = state->sregs.cr4;
	state->cet.has |= CET_HAS_CR;
}

STAGE(cet_save)
{
	CetVcpu seam = {.fd = vcpu->fd};
	RegIo io = cet_vcpu_io(&seam);
	CetFault fault;

	if (cet_capture(&io, transfer->cet, &state->cet, &fault) < 0)
		return fail_cet(vcpu, UMBRA_ERROR_FAILED, &fault, error);
	copy_crs(state);
	return true;
}

LOAD_STAGE(cet_load)
{
	VcpuState copy = {.sregs = state->sregs, .cet = state->cet};
	CetVcpu seam = {.fd = vcpu->fd};
	RegIo io = cet_vcpu_io(&seam);
	CetFault fault;

	copy_crs(&copy);
	if (cet_restore(&io, &copy.cet, &transfer->judge, &fault) < 0)
		return fail_cet(vcpu, UMBRA_ERROR_INCOMPATIBLE, &fault, error);
	return true;
}

STAGE(events_save)
{
	struct kvm_vcpu_events *events = &state->events;

	if (!kvm_vcpu_get_events(vcpu, events, error))
		return false;
	/* Left over from an exception that was delivered: KVM would not take it back. */
	if (!events->exception.pending)
		events->exception_has_payload = 0;
	return true;
}

#define EVENT_FLAGS                                                                           \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |                  \
	 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | \
	 KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

/* A part that this host's KVM does not know may be left out only while it is not in use. */
LOAD_STAGE(events_load)
{
	struct kvm_vcpu_events events = state->events;
	uint32_t unknown = events.flags & ~transfer->event_flags;

	if (events.flags & ~(uint32_t)EVENT_FLAGS)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "vcpu %u: events.flags = %#x has bits that nobody knows",
				  vcpu->id, events.flags);
	if (unknown & KVM_VCPUEVENT_VALID_PAYLOAD && events.exception.pending)
		return umbra_fail(
			error, UMBRA_ERROR_INCOMPATIBLE,
			"vcpu %u: exception %u is pending, and this host's KVM cannot take "
			"it (KVM_CAP_EXCEPTION_PAYLOAD, in Linux since 4.20)",
			vcpu->id, events.exception.nr);
	if (unknown & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && events.triple_fault.pending)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "vcpu %u: a triple fault is pending, and this host's KVM cannot "
				  "take it (KVM_CAP_X86_TRIPLE_FAULT_EVENT, in Linux since 6.1)",
				  vcpu->id);
	events.flags &= ~unknown;
	return kvm_vcpu_set_events(vcpu, &events, error);
}

/* The flags say what KVM knows, not what the guest has. */
static void events_settle(const VcpuState *loaded, VcpuState *found)
{
	found->events.flags = loaded->events.flags;
}

/*
 * From Documentation/virt/kvm/api.rst and arch/x86/kvm/x86.c, and what is essential in it:
 * - mp-state first when saving: KVM then processes INIT and SIPI that wait, and may change
 *   everything after it. The TSC before it is no part of that.
 * - the TSC before the LAPIC and the MSRs: timers are armed by it.
 * - regs before events: KVM_SET_REGS drops a pending exception.
 * - lapic before msrs: TSC_DEADLINE is dropped unless the LAPIC's timer is in that mode.
 * - sregs and xsave before cet: CR4.CET with CR0.WP first, and XSAVE's area holds no CET.
 * - msrs before cet, and in it XSS before the rest, the current shadow stack pointer last.
 * - events last, both ways.
 */
const VcpuStage vcpu_stages[VCPU_N_STAGES] = {
	{"tsc-khz", tsc_khz_save, tsc_khz_load, NULL},
	{"tsc", tsc_save, tsc_load, NULL},
	{"mp-state", mp_state_save, mp_state_load, NULL},
	{"regs", regs_save, regs_load, NULL},
	{"sregs", sregs_save, sregs_load, sregs_settle},
	{"xsave", xsave_save, xsave_load, xsave_settle},
	{"xcrs", xcrs_save, xcrs_load, NULL},
	{"debugregs", debugregs_save, debugregs_load, NULL},
	{"lapic", lapic_save, lapic_load, lapic_settle},
	{"msrs", stage_msrs_save, stage_msrs_load, stage_msrs_settle},
	{"cet", cet_save, cet_load, NULL},
	{"events", events_save, events_load, events_settle},
};
