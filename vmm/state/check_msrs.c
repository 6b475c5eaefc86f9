// SPDX-License-Identifier: MIT
/* MSRs: those this host's KVM does not have, and values that it does not keep. */
#include "state/check_internal.h"

#include "msr/reg.h"
#include "state/msr_ranges.h"

#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_PAT		 0x277

typedef struct MsrRule {
	uint32_t index;
	bool (*holds)(uint64_t value, unsigned linear_bits);
	RegVerdict kvm;
	const char *text;
} MsrRule;

static bool is_canonical(uint64_t value, unsigned linear_bits)
{
	return reg_is_canonical(value, linear_bits);
}

/* Eight memory types; 2 and 3 are reserved, and so are all above 7 (SDM 3A, 12.12.2). */
static bool is_pat(uint64_t value, unsigned linear_bits)
{
	(void)linear_bits;
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = (uint8_t)(value >> (8 * i));

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

#define CANONICAL "is not a canonical address"
/* arch/x86/kvm/x86.c, __kvm_set_msr() and kvm_set_msr_common(). */
static const MsrRule rules[] = {
	{0xc0000082, is_canonical, REG_REFUSES, CANONICAL},
	{0xc0000083, is_canonical, REG_REFUSES, CANONICAL},
	{0xc0000100, is_canonical, REG_REFUSES, CANONICAL},
	{0xc0000101, is_canonical, REG_REFUSES, CANONICAL},
	{0xc0000102, is_canonical, REG_REFUSES, CANONICAL},
	{MSR_SYSENTER_ESP, is_canonical, REG_LOSES, CANONICAL ": KVM makes one of it"},
	{MSR_SYSENTER_EIP, is_canonical, REG_LOSES, CANONICAL ": KVM makes one of it"},
	{MSR_PAT, is_pat, REG_REFUSES, "holds a memory type that does not exist"},
};

static bool is_listed(const HostInfo *host, uint32_t index)
{
	for (unsigned i = 0; i < host->n_msrs; i++)
		if (host->msrs[i] == index)
			return true;
	return false;
}

static void add(Check *check, const VcpuState *vcpu, const struct kvm_msr_entry *msr,
		RegVerdict kvm, const char *rule, const char *remedy)
{
	const char *name = msr_name(msr->index);
	g_autofree char *what = g_strdup_printf("msr 0x%x", msr->index);
	const Finding finding = {
		.vcpu = (int)vcpu->id, .value = msr->data, .kvm = kvm, .remedy = remedy};

	if (name)
		check_addf(check, &finding, what, "(%s) %s", name, rule);
	else
		check_add(check, &finding, what, rule);
}

/* Zero is what an MSR that is not there would have been to the guest as well. */
static void check_presence(Check *check, const VcpuState *vcpu, const struct kvm_msr_entry *msr)
{
	bool ignored = check->host->cet.ignores_msrs;

	if (msr->data && !is_listed(check->host, msr->index) &&
	    !msr_range_find(msr_unlisted, msr_n_unlisted, msr->index))
		add(check, vcpu, msr, ignored ? REG_LOSES : REG_REFUSES,
		    "is in use, and this host's KVM does not have it", check_remedy_choose);
}

void check_msrs(Check *check, const VcpuState *vcpu)
{
	for (unsigned i = 0; i < vcpu->msrs->len; i++) {
		const struct kvm_msr_entry *msr =
			&g_array_index(vcpu->msrs, struct kvm_msr_entry, i);

		check_presence(check, vcpu, msr);
		for (size_t j = 0; j < G_N_ELEMENTS(rules); j++)
			if (rules[j].index == msr->index &&
			    !rules[j].holds(msr->data, check->host->cet.linear_bits))
				add(check, vcpu, msr, rules[j].kvm, rules[j].text,
				    check_remedy_damaged);
	}
}
