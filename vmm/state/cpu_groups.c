// SPDX-License-Identifier: MIT
#include "state/cpu_groups.h"

#include <linux/kvm.h>

static const StateField mp_state_fields[] = {
	STATE_U32(struct kvm_mp_state, "state", mp_state),
};
const StateGroup mp_state_group = STATE_GROUP_OF(struct kvm_mp_state, mp_state_fields);

#define REG(name) STATE_U64(struct kvm_regs, #name, name)
static const StateField regs_fields[] = {
	REG(rax), REG(rbx), REG(rcx), REG(rdx), REG(rsi), REG(rdi), REG(rsp), REG(rbp), REG(r8),
	REG(r9),  REG(r10), REG(r11), REG(r12), REG(r13), REG(r14), REG(r15), REG(rip), REG(rflags),
};
#undef REG
const StateGroup regs_group = STATE_GROUP_OF(struct kvm_regs, regs_fields);

static const StateField segment_fields[] = {
	STATE_U64(struct kvm_segment, "base", base),
	STATE_U32(struct kvm_segment, "limit", limit),
	STATE_U16(struct kvm_segment, "selector", selector),
	STATE_U8(struct kvm_segment, "type", type),
	STATE_U8(struct kvm_segment, "present", present),
	STATE_U8(struct kvm_segment, "dpl", dpl),
	STATE_U8(struct kvm_segment, "db", db),
	STATE_U8(struct kvm_segment, "s", s),
	STATE_U8(struct kvm_segment, "l", l),
	STATE_U8(struct kvm_segment, "g", g),
	STATE_U8(struct kvm_segment, "avl", avl),
	STATE_U8(struct kvm_segment, "unusable", unusable),
};
static const StateGroup segment_group = STATE_GROUP_OF(struct kvm_segment, segment_fields);

static const StateField table_fields[] = {
	STATE_U64(struct kvm_dtable, "base", base),
	STATE_U16(struct kvm_dtable, "limit", limit),
};
static const StateGroup table_group = STATE_GROUP_OF(struct kvm_dtable, table_fields);

#define SEGMENT(name) STATE_GROUP(struct kvm_sregs2, #name, name, &segment_group)
static const StateField sregs_fields[] = {
	SEGMENT(cs),
	SEGMENT(ds),
	SEGMENT(es),
	SEGMENT(fs),
	SEGMENT(gs),
	SEGMENT(ss),
	SEGMENT(tr),
	SEGMENT(ldt),
	STATE_GROUP(struct kvm_sregs2, "gdt", gdt, &table_group),
	STATE_GROUP(struct kvm_sregs2, "idt", idt, &table_group),
	STATE_U64(struct kvm_sregs2, "cr0", cr0),
	STATE_U64(struct kvm_sregs2, "cr2", cr2),
	STATE_U64(struct kvm_sregs2, "cr3", cr3),
	STATE_U64(struct kvm_sregs2, "cr4", cr4),
	STATE_U64(struct kvm_sregs2, "cr8", cr8),
	STATE_U64(struct kvm_sregs2, "efer", efer),
	STATE_U64(struct kvm_sregs2, "apic-base", apic_base),
	STATE_U64(struct kvm_sregs2, "flags", flags),
	STATE_ARRAY(struct kvm_sregs2, "pdptrs", pdptrs, FIELD_U64, 4, sizeof(uint64_t)),
};
#undef SEGMENT
const StateGroup sregs_group = STATE_GROUP_OF(struct kvm_sregs2, sregs_fields);

/* KVM knows XCR0 alone, and gives it as the first of a list (arch/x86/kvm/x86.c). */
static const StateField xcrs_fields[] = {
	STATE_U32(struct kvm_xcrs, "count", nr_xcrs),
	STATE_U32(struct kvm_xcrs, "number", xcrs[0].xcr),
	STATE_U64(struct kvm_xcrs, "xcr0", xcrs[0].value),
};
const StateGroup xcrs_group = STATE_GROUP_OF(struct kvm_xcrs, xcrs_fields);

static const StateField debugregs_fields[] = {
	STATE_ARRAY(struct kvm_debugregs, "db", db, FIELD_U64, 4, sizeof(uint64_t)),
	STATE_U64(struct kvm_debugregs, "dr6", dr6),
	STATE_U64(struct kvm_debugregs, "dr7", dr7),
	STATE_U64(struct kvm_debugregs, "flags", flags),
};
const StateGroup debugregs_group = STATE_GROUP_OF(struct kvm_debugregs, debugregs_fields);

/* SDM 3A, table 11-1: each register is 32 bits of a 16-byte place. */
#define APIC_N(text, at, n, more)                                                              \
	{                                                                                      \
		.name = (text), .kind = FIELD_U32, .offset = (at), .count = (n), .stride = 16, \
		.flags = (more)                                                                \
	}
#define APIC(text, at) APIC_N(text, at, 1, 0)
static const StateField lapic_fields[] = {
	APIC("id", 0x20),
	APIC("version", 0x30),
	APIC("task-priority", 0x80),
	APIC("arbitration-priority", 0x90),
	APIC("processor-priority", 0xa0),
	APIC("remote-read", 0xc0),
	APIC("logical-destination", 0xd0),
	APIC("destination-format", 0xe0),
	APIC("spurious-vector", 0xf0),
	APIC_N("in-service", 0x100, 8, 0),
	APIC_N("trigger-mode", 0x180, 8, 0),
	APIC_N("requests", 0x200, 8, 0),
	APIC("error-status", 0x280),
	APIC("lvt-cmci", 0x2f0),
	APIC("command-low", 0x300),
	APIC("command-high", 0x310),
	APIC("lvt-timer", 0x320),
	APIC("lvt-thermal", 0x330),
	APIC("lvt-performance", 0x340),
	APIC("lvt-lint0", 0x350),
	APIC("lvt-lint1", 0x360),
	APIC("lvt-error", 0x370),
	APIC("timer-initial-count", 0x380),
	APIC_N("timer-current-count", 0x390, 1, FIELD_MOVES),
	APIC("timer-divide", 0x3e0),
};
#undef APIC
#undef APIC_N
const StateGroup lapic_group = STATE_GROUP_OF(struct kvm_lapic_state, lapic_fields);

#define EVENT8(text, member)  STATE_U8(struct kvm_vcpu_events, text, member)
#define EVENT32(text, member) STATE_U32(struct kvm_vcpu_events, text, member)
static const StateField events_fields[] = {
	EVENT8("exception-injected", exception.injected),
	EVENT8("exception-number", exception.nr),
	EVENT8("exception-has-error-code", exception.has_error_code),
	EVENT8("exception-pending", exception.pending),
	EVENT32("exception-error-code", exception.error_code),
	EVENT8("exception-has-payload", exception_has_payload),
	STATE_U64(struct kvm_vcpu_events, "exception-payload", exception_payload),
	EVENT8("interrupt-injected", interrupt.injected),
	EVENT8("interrupt-number", interrupt.nr),
	EVENT8("interrupt-soft", interrupt.soft),
	EVENT8("interrupt-shadow", interrupt.shadow),
	EVENT8("nmi-injected", nmi.injected),
	EVENT8("nmi-pending", nmi.pending),
	EVENT8("nmi-masked", nmi.masked),
	EVENT32("sipi-vector", sipi_vector),
	EVENT32("flags", flags),
	EVENT8("smi-smm", smi.smm),
	EVENT8("smi-pending", smi.pending),
	EVENT8("smi-inside-nmi", smi.smm_inside_nmi),
	EVENT8("smi-latched-init", smi.latched_init),
	EVENT8("triple-fault-pending", triple_fault.pending),
};
#undef EVENT8
#undef EVENT32
const StateGroup events_group = STATE_GROUP_OF(struct kvm_vcpu_events, events_fields);

static const StateField clock_fields[] = {
	STATE_MOVING(struct kvm_clock_data, "nanoseconds", clock, FIELD_U64),
	STATE_MOVING(struct kvm_clock_data, "flags", flags, FIELD_U32),
	STATE_MOVING(struct kvm_clock_data, "realtime", realtime, FIELD_U64),
	STATE_MOVING(struct kvm_clock_data, "host-tsc", host_tsc, FIELD_U64),
};
const StateGroup clock_group = STATE_GROUP_OF(struct kvm_clock_data, clock_fields);
