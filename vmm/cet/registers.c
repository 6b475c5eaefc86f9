// SPDX-License-Identifier: MIT
/*
 * The table of the eight registers, in restore order. Rules that KVM has stand in
 * arch/x86/kvm/msrs.c (__kvm_set_msr(), kvm_is_valid_u_s_cet()), those of the CPU
 * in the SDM, vol. 1 chapter 17 and vol. 3 section 26.3.1 (checks on VM entry).
 * The two differ, in both directions: column `architecture` tells it.
 */
#include "cet/registers.h"

#include "umbra/one_reg.h"

#include <string.h>

enum {
	MSR_U_CET = 0x6a0,
	MSR_S_CET = 0x6a2,
	MSR_PL0_SSP = 0x6a4,
	MSR_PL1_SSP = 0x6a5,
	MSR_PL2_SSP = 0x6a6,
	MSR_PL3_SSP = 0x6a7,
	MSR_INT_SSP_TAB = 0x6a8,
};

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define BIT(n)		(1ULL << (n))
#define BITS(high, low) ((~0ULL >> (63 - (high))) & (~0ULL << (low)))

static const RegField control_fields[] = {
	{"shstk_en", 0, 1, "shadow stacks are on at this privilege"},
	{"wr_shstk_en", 1, 1, "WRSS may write to shadow stacks"},
	{"endbr_en", 2, 1, "indirect branches must land on ENDBR"},
	{"leg_iw_en", 3, 1, "the legacy bitmap excuses code without ENDBR"},
	{"no_track_en", 4, 1, "the NOTRACK prefix is honoured"},
	{"suppress_dis", 5, 1, "the tracker may not be suppressed"},
	{"suppress", 10, 1, "the tracker is suppressed"},
	{"tracker", 11, 1, "an indirect branch was taken, ENDBR must follow (WAIT_ENDBR)"},
	{"legacy_bitmap", 12, 52, "page number of the legacy code bitmap"},
};

static const RegField address_fields[] = {
	{"address", 0, 64, "linear address"},
};

#define DAMAGED	    "the state is damaged: take it anew from its source"
#define WANTS(what) "choose a destination whose KVM offers " what " (umbra host tells)"

static const RegRule needs_cet = {
	.kind = REG_RULE_EXISTS,
	.features = CET_FEATURE_SHSTK | CET_FEATURE_IBT,
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "must be zero: this CPU has neither shadow stacks nor indirect branch tracking",
	.remedy = WANTS("CET"),
};

static const RegRule needs_shstk = {
	.kind = REG_RULE_EXISTS,
	.features = CET_FEATURE_SHSTK,
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "must be zero: this CPU has no shadow stacks",
	.remedy = WANTS("SHSTK"),
};

static const RegRule needs_long_mode = {
	.kind = REG_RULE_EXISTS,
	.features = CET_FEATURE_LM,
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "must be zero: this CPU has no 64-bit mode",
	.remedy = "choose a destination that gives the guest 64-bit mode",
};

static const RegRule reserved = {
	.kind = REG_RULE_ZERO,
	.bits = BITS(9, 6),
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "are reserved and must be zero",
	.remedy = DAMAGED,
};

static const RegRule shstk_bits = {
	.kind = REG_RULE_ZERO,
	.bits = BITS(1, 0),
	.features = CET_FEATURE_SHSTK,
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "must be zero: this CPU has no shadow stacks",
	.remedy = WANTS("SHSTK"),
};

static const RegRule ibt_bits = {
	.kind = REG_RULE_ZERO,
	.bits = BITS(63, 10) | BITS(5, 2),
	.features = CET_FEATURE_IBT,
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "must be zero: this CPU has no indirect branch tracking",
	.remedy = WANTS("IBT, an Intel host"),
};

static const RegRule suppress_or_tracker = {
	.kind = REG_RULE_NOT_ALL,
	.bits = BITS(11, 10),
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "(SUPPRESS and TRACKER) must not both be set",
	.remedy = DAMAGED,
};

/* Mainline's KVM's alone. A guest writes the register without KVM's help, and may hold such a
 * value. */
static const RegRule bitmap_alignment = {
	.kind = REG_RULE_ZERO,
	.bits = BITS(13, 12),
	.kvm = REG_REFUSES,
	.architecture = false,
	.text = "must be zero for KVM, which wants the legacy bitmap aligned to 16 KiB",
	.remedy =
		"the guest may hold this, the CPU has no such rule: move it while it uses another "
		"bitmap, or to a KVM without this rule",
	.unlike = CET_TRAIT_ANY_BITMAP,
	.kvm_then = REG_OK,
};

/*
 * A bitmap base that is no canonical address. Mainline does not look: u_cet it writes to
 * the CPU at once, where the write faults and is dropped behind userspace's back;
 * s_cet it keeps in the VMCS, where the next VM entry fails.
 */
static const RegRule u_cet_canonical = {
	.kind = REG_RULE_CANONICAL,
	.bits = BITS(63, 12),
	.kvm = REG_LOSES,
	.architecture = true,
	.text = "are not a canonical address",
	.remedy = DAMAGED,
	.unlike = CET_TRAIT_REFUSES_BITMAP,
	.kvm_then = REG_REFUSES,
};

static const RegRule s_cet_canonical = {
	.kind = REG_RULE_CANONICAL,
	.bits = BITS(63, 12),
	.kvm = REG_ACCEPTS,
	.architecture = true,
	.text = "are not a canonical address",
	.remedy = DAMAGED,
	.unlike = CET_TRAIT_REFUSES_BITMAP,
	.kvm_then = REG_REFUSES,
};

/* KVM judges by the host's address width, not by the guest's paging mode. */
static const RegRule canonical = {
	.kind = REG_RULE_CANONICAL,
	.bits = ~0ULL,
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "are not a canonical address",
	.remedy = "choose a destination with as wide addresses (LA57), if the state is not damaged",
};

static const RegRule aligned = {
	.kind = REG_RULE_ZERO,
	.bits = BITS(1, 0),
	.kvm = REG_REFUSES,
	.architecture = true,
	.text = "must be zero: a shadow stack pointer is a multiple of 4",
	.remedy = DAMAGED,
};

static const RegRule *const u_cet_rules[] = {
	&needs_cet,	      &reserved,	 &shstk_bits,	   &ibt_bits,
	&suppress_or_tracker, &bitmap_alignment, &u_cet_canonical,
};
static const RegRule *const s_cet_rules[] = {
	&needs_cet,	      &reserved,	 &shstk_bits,	   &ibt_bits,
	&suppress_or_tracker, &bitmap_alignment, &s_cet_canonical,
};
static const RegRule *const ssp_rules[] = {&needs_shstk, &canonical, &aligned};
static const RegRule *const int_ssp_tab_rules[] = {&needs_shstk, &needs_long_mode, &canonical};

#define ROW(name, about, msr, fields, rules)                                            \
	{                                                                               \
		name, about, msr, UMBRA_ONE_REG_MSR(msr), fields, COUNT(fields), rules, \
			COUNT(rules)                                                    \
	}

const RegDesc cet_registers[CET_N_REGS] = {
	[CET_U_CET] = ROW("u_cet", "user-mode CET control", MSR_U_CET, control_fields, u_cet_rules),
	[CET_S_CET] =
		ROW("s_cet", "supervisor-mode CET control", MSR_S_CET, control_fields, s_cet_rules),
	[CET_PL0_SSP] = ROW("pl0_ssp", "shadow stack pointer for privilege level 0", MSR_PL0_SSP,
			    address_fields, ssp_rules),
	[CET_PL1_SSP] = ROW("pl1_ssp", "shadow stack pointer for privilege level 1", MSR_PL1_SSP,
			    address_fields, ssp_rules),
	[CET_PL2_SSP] = ROW("pl2_ssp", "shadow stack pointer for privilege level 2", MSR_PL2_SSP,
			    address_fields, ssp_rules),
	[CET_PL3_SSP] = ROW("pl3_ssp", "user shadow stack pointer, parked outside ring 3",
			    MSR_PL3_SSP, address_fields, ssp_rules),
	[CET_INT_SSP_TAB] = ROW("int_ssp_tab", "table of interrupt shadow stacks", MSR_INT_SSP_TAB,
				address_fields, int_ssp_tab_rules),
	[CET_GUEST_SSP] = {"guest_ssp", "current shadow stack pointer", 0, UMBRA_ONE_REG_GUEST_SSP,
			   address_fields, COUNT(address_fields), ssp_rules, COUNT(ssp_rules)},
};

const uint64_t cet_ids_in_order[1 + CET_N_REGS] = {
	UMBRA_ONE_REG_MSR(MSR_IA32_XSS), UMBRA_ONE_REG_MSR(MSR_U_CET),
	UMBRA_ONE_REG_MSR(MSR_S_CET),	 UMBRA_ONE_REG_MSR(MSR_PL0_SSP),
	UMBRA_ONE_REG_MSR(MSR_PL1_SSP),	 UMBRA_ONE_REG_MSR(MSR_PL2_SSP),
	UMBRA_ONE_REG_MSR(MSR_PL3_SSP),	 UMBRA_ONE_REG_MSR(MSR_INT_SSP_TAB),
	UMBRA_ONE_REG_GUEST_SSP,
};

const RegDesc *cet_register_find(const char *name)
{
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (strcmp(cet_registers[i].name, name) == 0)
			return &cet_registers[i];
	return NULL;
}
