// SPDX-License-Identifier: MIT
#include "msr/reg.h"

#include <stdio.h>

bool reg_is_canonical(uint64_t address, unsigned linear_bits)
{
	uint64_t high = ~0ULL << (linear_bits - 1);

	return (address & high) == 0 || (address & high) == high;
}

/*
 * The bits of `value` that break `rule`; 0 if it holds. A value without any of the
 * rule's bits holds to it, whatever its kind: most values of most registers end there.
 */
static inline uint64_t offending_bits(const RegRule *rule, uint64_t value, const RegCpu *cpu)
{
	uint64_t bits = value & rule->bits;

	if (!bits)
		return 0;
	switch (rule->kind) {
	case REG_RULE_ZERO:
		return cpu->features & rule->features ? 0 : bits;
	case REG_RULE_NOT_ALL:
		return bits == rule->bits ? bits : 0;
	case REG_RULE_CANONICAL:
		return reg_is_canonical(bits, cpu->linear_bits) ? 0 : rule->bits;
	case REG_RULE_EXISTS:
	case REG_RULE_CROSS:
		break;
	}
	return 0;
}

/* The rule by which the register is absent from this CPU, or NULL. Such rules stand first. */
static inline const RegRule *absence(const RegDesc *reg, const RegCpu *cpu)
{
	for (unsigned i = 0; i < reg->n_rules; i++) {
		const RegRule *rule = reg->rules[i];

		if (rule->kind != REG_RULE_EXISTS)
			break;
		if (!(cpu->features & rule->features))
			return rule;
	}
	return NULL;
}

bool reg_exists(const RegDesc *reg, const RegCpu *cpu)
{
	return !absence(reg, cpu);
}

/*
 * KVM lets userspace write 0 to an MSR that it lists but this guest lacks, and with
 * ignore_msrs any value (kvm_do_msr_access() in arch/x86/kvm). What is no MSR, it refuses.
 */
static RegVerdict absent_verdict(const RegDesc *reg, const RegRule *rule, uint64_t value,
				 const RegCpu *cpu)
{
	if (!reg->msr)
		return rule->kvm;
	if (value == 0)
		return REG_OK;
	return cpu->ignores_msrs ? REG_LOSES : rule->kvm;
}

unsigned reg_check(const RegDesc *reg, uint64_t value, const RegCpu *cpu, RegProblem *ret_problems,
		   unsigned max)
{
	const RegRule *absent = absence(reg, cpu);
	unsigned n = 0;

	if (absent) {
		RegVerdict kvm = absent_verdict(reg, absent, value, cpu);

		if (kvm == REG_OK)
			return 0;
		if (max > 0)
			ret_problems[0] =
				(RegProblem){reg->name, value, value ? value : ~0ULL, kvm, absent};
		return 1;
	}
	for (unsigned i = 0; i < reg->n_rules; i++) {
		const RegRule *rule = reg->rules[i];
		uint64_t bits = offending_bits(rule, value, cpu);
		RegVerdict kvm = reg_rule_answer(rule, cpu->traits);

		if (!bits || kvm == REG_OK)
			continue;
		if (n < max)
			ret_problems[n] = (RegProblem){reg->name, value, bits, kvm, rule};
		n++;
	}
	return n;
}

void reg_sieve_init(RegSieve *sieve, const RegDesc *reg, const RegCpu *cpu)
{
	/* (value & 0) is never 1, and zero is canonical: without rules everything passes. */
	*sieve = (RegSieve){.not_these = 1, .above = (uint8_t)(64 - cpu->linear_bits)};
	if (absence(reg, cpu))
		sieve->zero = ~0ULL;
	for (unsigned i = 0; i < reg->n_rules; i++) {
		const RegRule *rule = reg->rules[i];

		if (reg_rule_answer(rule, cpu->traits) == REG_OK)
			continue;
		if (rule->kind == REG_RULE_ZERO && !(cpu->features & rule->features))
			sieve->zero |= rule->bits;
		if (rule->kind == REG_RULE_NOT_ALL) {
			/* There is room for one such rule: a second one takes its bits whole. */
			sieve->zero |= sieve->mask ? rule->bits : 0;
			sieve->mask = sieve->not_these = sieve->mask ? sieve->mask : rule->bits;
		}
		if (rule->kind == REG_RULE_CANONICAL) {
			sieve->zero |= sieve->canonical ? rule->bits & ~sieve->canonical : 0;
			sieve->canonical = sieve->canonical ? sieve->canonical : rule->bits;
		}
	}
}

RegVerdict reg_verdict(const RegDesc *reg, uint64_t value, const RegCpu *cpu)
{
	const RegRule *absent = absence(reg, cpu);
	RegVerdict verdict = REG_OK;

	if (absent)
		return absent_verdict(reg, absent, value, cpu);
	for (unsigned i = 0; i < reg->n_rules; i++) {
		const RegRule *rule = reg->rules[i];
		RegVerdict kvm = reg_rule_answer(rule, cpu->traits);

		if (kvm > verdict && offending_bits(rule, value, cpu))
			verdict = kvm;
	}
	return verdict;
}

const char *reg_bits_text(uint64_t bits, char *text, size_t size)
{
	size_t used = 0;

	if (size)
		text[0] = '\0';
	for (int high = 63; high >= 0; high--) {
		int low = high;
		int length;

		if (!(bits >> high & 1))
			continue;
		while (low > 0 && bits >> (low - 1) & 1)
			low--;
		if (low == high)
			length = snprintf(text + used, size - used, "%s%d", used ? ", " : "", high);
		else
			length = snprintf(text + used, size - used, "%s%d:%d", used ? ", " : "",
					  high, low);
		if (length < 0 || (size_t)length >= size - used)
			break;
		used += (size_t)length;
		high = low;
	}
	return text;
}

const char *reg_verdict_name(RegVerdict verdict)
{
	static const char *const names[] = {
		[REG_OK] = "ok",
		[REG_ACCEPTS] = "accepts",
		[REG_LOSES] = "accepts-and-loses",
		[REG_REFUSES] = "refuses",
	};

	return names[verdict];
}
