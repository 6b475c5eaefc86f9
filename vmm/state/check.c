// SPDX-License-Identifier: MIT
#include "state/check_internal.h"

#include "umbra/cet.h"

#include <string.h>

const char check_remedy_choose[] =
	"choose a destination whose CPU and KVM offer it (`umbra host --json` there tells)";
const char check_remedy_damaged[] = "the state is damaged: take it anew from its source";

static void state_problem_free(void *data)
{
	StateProblem *problem = data;

	g_free(problem->what);
	g_free(problem->text);
	g_free(problem->rule);
	g_free(problem);
}

/* In the form of cet_problem_text(). */
static char *problem_text(const StateProblem *problem)
{
	g_autofree char *bits = NULL;

	if (problem->bits) {
		char text[160];

		bits = g_strdup_printf("bits %s ",
				       cet_bits_text(problem->bits, text, sizeof(text)));
	}
	return g_strdup_printf("%s=0x%" G_GINT64_MODIFIER "x: %s%s (KVM %s; %s)", problem->what,
			       problem->value, bits ? bits : "", problem->rule,
			       cet_verdict_name(problem->kvm), problem->remedy);
}

void check_add(Check *check, const Finding *finding, const char *what, const char *rule)
{
	StateProblem *problem = g_new0(StateProblem, 1);

	problem->vcpu = finding->vcpu;
	problem->what = g_strdup(what);
	problem->value = finding->value;
	problem->bits = finding->bits;
	problem->rule = g_strdup(rule);
	problem->kvm = finding->kvm;
	problem->remedy = finding->remedy;
	problem->text = problem_text(problem);
	g_ptr_array_add(check->problems, problem);
}

void check_addf(Check *check, const Finding *finding, const char *what, const char *rule, ...)
{
	va_list args;

	va_start(args, rule);
	g_autofree char *text = g_strdup_vprintf(rule, args);

	va_end(args);
	check_add(check, finding, what, text);
}

/* The guest's CPUID is the same on all vCPUs: what it speaks against is told once. */
static bool is_of_machine(const RegProblem *problem)
{
	return g_str_has_prefix(problem->name, "cpuid ");
}

static void check_cet(Check *check, const VcpuState *vcpu, const CetCpu *guest)
{
	RegProblem problems[CET_MAX_PROBLEMS];
	CetState cet = vcpu->cet;

	cet.cr0 = vcpu->sregs.cr0;
	cet.cr4 = vcpu->sregs.cr4;
	cet.has |= CET_HAS_CR;
	unsigned n = cet_check(&cet, guest, &check->host->cet, problems, CET_MAX_PROBLEMS);

	for (unsigned i = 0; i < MIN(n, CET_MAX_PROBLEMS); i++) {
		const RegProblem *problem = &problems[i];
		bool machine = is_of_machine(problem);

		if (machine && vcpu->id > 0)
			continue;
		check_add(check,
			  &(Finding){.vcpu = machine ? CHECK_MACHINE : (int)vcpu->id,
				     .value = problem->value,
				     .bits = problem->bits,
				     .kvm = problem->kvm,
				     .remedy = problem->rule->remedy},
			  problem->name, problem->rule->text);
	}
}

static int by_vcpu(const void *a, const void *b)
{
	const StateProblem *const *first = a, *const *second = b;

	return (*first)->vcpu - (*second)->vcpu;
}

GPtrArray *machine_state_check(const MachineState *state, const HostInfo *host)
{
	Check check = {state, host, g_ptr_array_new_with_free_func(state_problem_free)};

	if (host->access != HOST_KVM_USABLE || !host->cpuid) {
		check_addf(
			&check,
			&(Finding){.vcpu = CHECK_MACHINE,
				   .kvm = REG_REFUSES,
				   .remedy = "choose a destination with KVM (`umbra host` tells)"},
			"kvm", "this host's KVM cannot be used: %s",
			host->reason ? host->reason : "it is not known what it offers");
		return check.problems;
	}
	if (!state->cpuid) {
		check_add(&check,
			  &(Finding){.vcpu = CHECK_MACHINE,
				     .kvm = REG_ACCEPTS,
				     .remedy = check_remedy_damaged},
			  "cpuid", "is not in the state");
		return check.problems;
	}
	CetCpu guest = cet_cpuid_features(state->cpuid);

	check_cpuid(&check);
	check_machine(&check);
	for (unsigned i = 0; i < state->vcpus->len; i++) {
		const VcpuState *vcpu = state->vcpus->pdata[i];

		check_tsc(&check, vcpu);
		check_registers(&check, vcpu);
		check_xsave(&check, vcpu);
		check_msrs(&check, vcpu);
		check_cet(&check, vcpu, &guest);
	}
	/* The order of a table's rows stays as it is. */
	g_ptr_array_sort(check.problems, by_vcpu);
	return check.problems;
}
