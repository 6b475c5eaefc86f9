// SPDX-License-Identifier: MIT
/*
 * The register table tells what mainline's KVM does. The kernels of kernel/ differ from it
 * where it is wrong, and the tests that ask KVM say which one they ask: --kvm NAME.
 */
#ifndef UMBRA_TESTS_KVM_RULES_H
#define UMBRA_TESTS_KVM_RULES_H

#include "umbra/cet.h"

#include <string.h>

typedef enum KvmRules {
	KVM_MAINLINE,
	KVM_FIXED,  /* kernel/7.3: refuses a bitmap base that is not canonical */
	KVM_SERIES, /* kernel/6.12: and CR4.CET without CR0.WP; has no rule that the CPU has not */
	KVM_UNKNOWN,
} KvmRules;

static inline KvmRules kvm_rules_find(const char *name)
{
	static const char *const names[] = {"mainline", "fixed", "series"};
	unsigned i = 0;

	while (i < KVM_UNKNOWN && strcmp(names[i], name) != 0)
		i++;
	return (KvmRules)i;
}

/* What becomes of the value that breaks the rule of `problem`. */
static inline RegVerdict kvm_rules_answer(KvmRules kvm, const RegProblem *problem)
{
	bool bitmap = strcmp(problem->name, "u_cet") == 0 || strcmp(problem->name, "s_cet") == 0;

	if (kvm == KVM_SERIES && !problem->rule->architecture)
		return REG_OK;
	if (kvm != KVM_MAINLINE && bitmap && problem->rule->kind == REG_RULE_CANONICAL)
		return REG_REFUSES;
	return problem->kvm;
}

/* cet_verdict(), as such a kernel would have it. */
static inline RegVerdict kvm_rules_verdict(KvmRules kvm, CetReg reg, uint64_t value,
					   const CetCpu *guest, const CetCpu *host)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	RegVerdict worst = REG_OK;
	unsigned n;

	if (kvm == KVM_MAINLINE)
		return cet_verdict(reg, value, guest, host);
	n = cet_check_value(reg, value, guest, host, problems, CET_MAX_PROBLEMS);
	for (unsigned i = 0; i < n; i++) {
		RegVerdict answer = kvm_rules_answer(kvm, &problems[i]);

		worst = answer > worst ? answer : worst;
	}
	return worst;
}

#endif
