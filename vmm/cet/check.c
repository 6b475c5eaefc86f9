// SPDX-License-Identifier: MIT
/* A whole state against a guest's CPUID and a host. */
#include "umbra/cet.h"

#include "msr/reg.h"

#include <stdio.h>

#define CR0_WP		  (1ULL << 16)
#define CR4_CET		  (1ULL << 23)
#define CPUID_7_ECX_SHSTK (1ULL << 7)
#define CPUID_7_EDX_IBT	  (1ULL << 20)

/* KVM serves what the guest's CPUID and its own abilities have in common. */
static RegCpu effective_cpu(const CetCpu *guest, const CetCpu *host)
{
	return (RegCpu){
		.features = guest->features & host->features,
		.linear_bits = host->linear_bits,
		.ignores_msrs = host->ignores_msrs,
		.traits = host->traits,
	};
}

/* Rules that look at more than one register. */
enum {
	SHSTK_TAKEN_AWAY,
	IBT_TAKEN_AWAY,
	XSS_BEYOND,
	CR4_CET_WITHOUT_WP,
	CR4_CET_WITHOUT_CET,
	N_CROSS_RULES,
};

#define SEEN_AS(what, action) \
	.kind = REG_RULE_CROSS, .kvm = action, .architecture = true, .text = what

static const struct CrossRule {
	const char *name;
	RegRule rule;
} cross_rules[N_CROSS_RULES] = {
	[SHSTK_TAKEN_AWAY] = {"cpuid 7.0 ecx",
			      {SEEN_AS("(SHSTK) was shown to the guest, and this host's KVM has no "
				       "shadow stacks",
				       REG_ACCEPTS),
			       .remedy = "choose a destination whose KVM offers SHSTK (umbra host "
					 "tells)"}},
	[IBT_TAKEN_AWAY] = {"cpuid 7.0 edx",
			    {SEEN_AS("(IBT) was shown to the guest, and this host's KVM has no "
				     "indirect branch tracking",
				     REG_ACCEPTS),
			     .remedy = "choose a destination whose KVM offers IBT, an Intel host "
				       "(umbra host tells)"}},
	[XSS_BEYOND] = {"xss",
			{SEEN_AS("are supervisor states that this guest's CPUID or this host's KVM "
				 "lacks",
				 REG_REFUSES),
			 .remedy = "choose a destination whose KVM offers CET (umbra host "
				   "tells)"}},
	[CR4_CET_WITHOUT_WP] =
		{"cr4",
		 {SEEN_AS("(CET) needs CR0.WP, which is clear: no CPU runs with that", REG_ACCEPTS),
		  .remedy = "the state is damaged: take it anew from its source",
		  .unlike = CET_TRAIT_REFUSES_CET_WITHOUT_WP, .kvm_then = REG_REFUSES}},
	[CR4_CET_WITHOUT_CET] =
		{"cr4",
		 {SEEN_AS("(CET) is set, and this CPU has neither shadow stacks nor "
			  "indirect branch tracking",
			  REG_REFUSES),
		  .remedy = "choose a destination whose KVM offers CET (umbra host "
			    "tells)"}},
};

/* What of each rule's value offends; 0 where the rule holds. */
static void cross_check(const CetState *state, const CetCpu *guest, const CetCpu *host,
			uint64_t ret_bits[N_CROSS_RULES])
{
	uint32_t lost = guest->features & ~host->features;
	uint32_t common = guest->features & host->features;
	uint64_t xss = state->has & CET_HAS_XSS ? state->xss : 0;
	uint64_t cr4_cet = state->has & CET_HAS_CR ? state->cr4 & CR4_CET : 0;
	bool cet = common & (CET_FEATURE_SHSTK | CET_FEATURE_IBT);

	ret_bits[SHSTK_TAKEN_AWAY] = lost & CET_FEATURE_SHSTK ? CPUID_7_ECX_SHSTK : 0;
	ret_bits[IBT_TAKEN_AWAY] = lost & CET_FEATURE_IBT ? CPUID_7_EDX_IBT : 0;
	ret_bits[XSS_BEYOND] = xss & ~(guest->xss & host->xss);
	ret_bits[CR4_CET_WITHOUT_WP] = state->cr0 & CR0_WP ? 0 : cr4_cet;
	ret_bits[CR4_CET_WITHOUT_CET] = cet ? 0 : cr4_cet;
}

/* The whole value that a cross rule's bits are part of. */
static uint64_t cross_value(unsigned rule, uint64_t bits, const CetState *state)
{
	switch (rule) {
	case XSS_BEYOND:
		return state->xss;
	case CR4_CET_WITHOUT_WP:
	case CR4_CET_WITHOUT_CET:
		return state->cr4;
	default:
		return bits;
	}
}

static const RegRule absent_rule = {
	SEEN_AS("are not in the state, though the guest has the register", REG_ACCEPTS),
	.remedy = "take the state anew with a VMM that saves all of CET: with a made-up value the "
		  "guest would die at its next return",
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
	const RegCpu cpu = effective_cpu(guest, host);
	uint64_t cross[N_CROSS_RULES];
	unsigned n = 0;

	cross_check(state, guest, host, cross);
	for (unsigned i = 0; i < N_CROSS_RULES; i++)
		if (cross[i])
			add(ret_problems, max, &n,
			    (RegProblem){cross_rules[i].name, cross_value(i, cross[i], state),
					 cross[i],
					 reg_rule_answer(&cross_rules[i].rule, host->traits),
					 &cross_rules[i].rule});
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

void cet_judge_init(CetJudge *judge, const CetCpu *guest, const CetCpu *host)
{
	const RegCpu cpu = effective_cpu(guest, host);
	uint32_t lost = guest->features & ~host->features;

	*judge = (CetJudge){
		.guest = *guest,
		.host = *host,
		.xss = guest->xss & host->xss,
		.passes_none = lost & (CET_FEATURE_SHSTK | CET_FEATURE_IBT),
	};
	for (unsigned i = 0; i < CET_N_REGS; i++) {
		reg_sieve_init(&judge->sieve[i], &cet_registers[i], &cpu);
		if (reg_exists(&cet_registers[i], &cpu))
			judge->required |= 1u << i;
		else if (!cet_registers[i].msr)
			judge->forbidden |= 1u << i;
	}
}

bool cet_judge_passes(const CetJudge *judge, const CetState *state)
{
	uint32_t has = state->has;

	if (judge->passes_none || has & judge->forbidden || judge->required & ~has)
		return false;
	if (has & CET_HAS_XSS && state->xss & ~judge->xss)
		return false;
	if (has & CET_HAS_CR && state->cr4 & CR4_CET &&
	    (!(state->cr0 & CR0_WP) || !(judge->required & 1u << CET_U_CET)))
		return false;
	for (unsigned i = 0; i < CET_N_REGS; i++) {
		uint64_t value = state->value[i];

		/* Every sieve lets zero pass, and zero is what most registers hold. */
		if (value && has & 1u << i && !reg_sieve_passes(&judge->sieve[i], value))
			return false;
	}
	return true;
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
