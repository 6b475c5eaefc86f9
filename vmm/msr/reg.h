// SPDX-License-Identifier: MIT
/* Judges and moves values of registers that umbra/reg.h describes. No memory, no I/O of its own. */
#ifndef UMBRA_MSR_REG_H
#define UMBRA_MSR_REG_H

#include "umbra/reg.h"

/*
 * Everything that speaks against `value` in this register of this CPU. Writes up
 * to `max` problems and returns how many there are. A register that the CPU does
 * not have has that one problem and no other.
 */
unsigned reg_check(const RegDesc *reg, uint64_t value, const RegCpu *cpu, RegProblem *ret_problems,
		   unsigned max);

/* What KVM does with `value`: all problems weighed together. */
RegVerdict reg_verdict(const RegDesc *reg, uint64_t value, const RegCpu *cpu);

/* True if the CPU has the register at all. */
bool reg_exists(const RegDesc *reg, const RegCpu *cpu);

/* What a KVM with these traits does with a value that breaks `rule`; REG_OK: it has no such rule.
 */
static inline RegVerdict reg_rule_answer(const RegRule *rule, uint32_t traits)
{
	return traits & rule->unlike ? rule->kvm_then : rule->kvm;
}

bool reg_is_canonical(uint64_t address, unsigned linear_bits);

void reg_sieve_init(RegSieve *sieve, const RegDesc *reg, const RegCpu *cpu);

static inline bool reg_sieve_passes(const RegSieve *sieve, uint64_t value)
{
	uint64_t address = value & sieve->canonical;

	return !(value & sieve->zero) && (value & sieve->mask) != sieve->not_these &&
	       (uint64_t)((int64_t)(address << sieve->above) >> sieve->above) == address;
}

/*
 * "13:12", "0", "63:10, 5:2": the set bits of `bits` from the highest down. At
 * most `size` bytes with the final NUL, like snprintf(); returns `text`.
 */
const char *reg_bits_text(uint64_t bits, char *text, size_t size);

/* "ok", "accepts", "accepts-and-loses", "refuses". */
const char *reg_verdict_name(RegVerdict verdict);

#endif
