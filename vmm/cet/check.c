// SPDX-License-Identifier: MIT
/* A whole state against a guest's CPUID and a host. */
#include "umbra/cet.h"

#include "msr/reg.h"

#include <stdio.h>

#define CR0_WP	(1ULL << 16)
#define CR4_CET (1ULL << 23)

/* KVM serves what the guest's CPUID and its own abilities have in common. */
static RegCpu effective_cpu(const CetCpu *guest, const CetCpu *host)
{
	return (RegCpu){
		.features = guest->features & host->features,
		.linear_bits = host->linear_bits,
		.ignores_msrs = host->ignores_msrs,
	};
}

typedef struct Whole {
	const CetState *state;
	const CetCpu *guest;
	const CetCpu *host;
} Whole;

/* A rule that looks at more than one register. `bits` gives what offends, 0 if it holds. */
typedef struct CrossRule {
	const char *name;
	uint64_t (*value)(const Whole *whole);
	uint64_t (*bits)(const Whole *whole);
	RegRule rule;
} CrossRule;

static uint64_t cpuid_7_ecx(const Whole *whole)
{
	return whole->guest->features & CET_FEATURE_SHSTK ? 1ULL << 7 : 0;
}

static uint64_t cpuid_7_edx(const Whole *whole)
{
	return whole->guest->features & CET_FEATURE_IBT ? 1ULL << 20 : 0;
}

static uint64_t shstk_taken_away(const Whole *whole)
{
	return whole->host->features & CET_FEATURE_SHSTK ? 0 : cpuid_7_ecx(whole);
}

static uint64_t ibt_taken_away(const Whole *whole)
{
	return whole->host->features & CET_FEATURE_IBT ? 0 : cpuid_7_edx(whole);
}

static uint64_t xss_value(const Whole *whole)
{
	return whole->state->xss;
}

static uint64_t xss_beyond(const Whole *whole)
{
	if (!(whole->state->has & CET_HAS_XSS))
		return 0;
	return whole->state->xss & ~(whole->guest->xss & whole->host->xss);
}

static uint64_t cr4_value(const Whole *whole)
{
	return whole->state->cr4;
}

static uint64_t cr4_cet(const Whole *whole)
{
	return whole->state->has & CET_HAS_CR ? whole->state->cr4 & CR4_CET : 0;
}

static uint64_t cr4_cet_without_wp(const Whole *whole)
{
	return whole->state->cr0 & CR0_WP ? 0 : cr4_cet(whole);
}

static uint64_t cr4_cet_without_cet(const Whole *whole)
{
	uint32_t features = whole->guest->features & whole->host->features;

	return features & (CET_FEATURE_SHSTK | CET_FEATURE_IBT) ? 0 : cr4_cet(whole);
}

static const CrossRule cross_rules[] = {
	{"cpuid_7_ecx",
	 cpuid_7_ecx,
	 shstk_taken_away,
	 {REG_RULE_CROSS, 0, 0, REG_ACCEPTS, true,
	  "(SHSTK) was shown to the guest, and this host's KVM has no shadow stacks",
	  "choose a destination whose KVM offers SHSTK (umbra host tells)"}},
	{"cpuid_7_edx",
	 cpuid_7_edx,
	 ibt_taken_away,
	 {REG_RULE_CROSS, 0, 0, REG_ACCEPTS, true,
	  "(IBT) was shown to the guest, and this host's KVM has no indirect branch tracking",
	  "choose a destination whose KVM offers IBT: an Intel host (umbra host tells)"}},
	{"xss",
	 xss_value,
	 xss_beyond,
	 {REG_RULE_CROSS, 0, 0, REG_REFUSES, true,
	  "are supervisor states that this guest's CPUID or this host's KVM lacks",
	  "choose a destination whose KVM offers CET (umbra host tells)"}},
	{"cr4",
	 cr4_value,
	 cr4_cet_without_wp,
	 {REG_RULE_CROSS, 0, 0, REG_ACCEPTS, true,
	  "(CET) needs CR0.WP, which is clear: KVM takes both and the next VM entry fails",
	  "the state is damaged: take it anew from its source"}},
	{"cr4",
	 cr4_value,
	 cr4_cet_without_cet,
	 {REG_RULE_CROSS, 0, 0, REG_REFUSES, true,
	  "(CET) is set, and this CPU has neither shadow stacks nor indirect branch tracking",
	  "choose a destination whose KVM offers CET (umbra host tells)"}},
};

static const RegRule absent_rule = {
	REG_RULE_CROSS,
	0,
	0,
	REG_ACCEPTS,
	true,
	"are not in the state, though the guest has the register",
	"take the state anew with a VMM that saves all of CET: with a made-up value the guest "
	"would "
	"die at its next return",
};

static void add(RegProblem *problems, unsigned max, unsigned *n, RegProblem problem)
{
	if (*n < max)
		problems[*n] = problem;
	++*n;
}

unsigned cet_check(const CetState *state, const CetCpu *guest, const CetCpu *host,
		   RegProblem *ret_problems, unsigned max)
{
	const Whole whole = {state, guest, host};
	const RegCpu cpu = effective_cpu(guest, host);
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(cross_rules) / sizeof(cross_rules[0]); i++) {
		const CrossRule *cross = &cross_rules[i];
		uint64_t bits = cross->bits(&whole);

		if (bits)
			add(ret_problems, max, &n,
			    (RegProblem){cross->name, cross->value(&whole), bits, cross->rule.kvm,
					 &cross->rule});
	}
	for (unsigned i = 0; i < CET_N_REGS; i++) {
		const RegDesc *reg = &cet_registers[i];

		if (state->has & 1u << i)
			n += reg_check(reg, state->value[i], &cpu,
				       n < max ? ret_problems + n : NULL, n < max ? max - n : 0);
		else if (reg_exists(reg, &cpu))
			add(ret_problems, max, &n,
			    (RegProblem){reg->name, 0, ~0ULL, REG_ACCEPTS, &absent_rule});
	}
	return n;
}

unsigned cet_check_value(CetReg reg, uint64_t value, const CetCpu *guest, const CetCpu *host,
			 RegProblem *ret_problems, unsigned max)
{
	const RegCpu cpu = effective_cpu(guest, host);

	return reg_check(&cet_registers[reg], value, &cpu, ret_problems, max);
}

RegVerdict cet_verdict(CetReg reg, uint64_t value, const CetCpu *guest, const CetCpu *host)
{
	const RegCpu cpu = effective_cpu(guest, host);

	return reg_verdict(&cet_registers[reg], value, &cpu);
}

bool cet_register_exists(CetReg reg, const CetCpu *guest, const CetCpu *host)
{
	const RegCpu cpu = effective_cpu(guest, host);

	return reg_exists(&cet_registers[reg], &cpu);
}

const char *cet_verdict_name(RegVerdict verdict)
{
	return reg_verdict_name(verdict);
}

const char *cet_bits_text(uint64_t bits, char *text, size_t size)
{
	return reg_bits_text(bits, text, size);
}

const char *cet_problem_text(const RegProblem *problem, char *text, size_t size)
{
	char bits[160];

	reg_bits_text(problem->bits, bits, sizeof(bits));
	snprintf(text, size, "%s=0x%llx: bits %s %s (KVM %s; %s)", problem->name,
		 (unsigned long long)problem->value, bits, problem->rule->text,
		 reg_verdict_name(problem->kvm), problem->rule->remedy);
	return text;
}
