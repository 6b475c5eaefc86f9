// SPDX-License-Identifier: MIT
/* Capture and restore through the seam: one list of ids, in the table's order, for both. */
#include "umbra/cet.h"

#include "umbra/one_reg.h"

#include <errno.h>
#include <stdio.h>

#define MSR_IA32_XSS 0xda0

/* XSS goes first: the CPU loads what lies in XSAVE components by it. */
static const uint64_t xss_id = UMBRA_ONE_REG_MSR(MSR_IA32_XSS);

/* The values of `state` that are in `set`, in restore order. Returns how many. */
static unsigned list_values(const CetState *state, uint32_t set, RegValue values[CET_N_REGS + 1])
{
	unsigned n = 0;

	if (set & CET_HAS_XSS)
		values[n++] = (RegValue){xss_id, state->xss};
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (set & 1u << i)
			values[n++] = (RegValue){cet_registers[i].one_reg, state->value[i]};
	return n;
}

static const char *name_of(uint64_t one_reg)
{
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (cet_registers[i].one_reg == one_reg)
			return cet_registers[i].name;
	return one_reg == xss_id ? "xss" : "unknown register";
}

/* Turns the seam's answer into success, or into a fault that names the register. */
static int judge(int done, unsigned n, const RegValue *values, const char *attempt,
		 CetFault *ret_fault)
{
	if (done == (int)n)
		return 0;
	*ret_fault = (CetFault){.attempt = attempt};
	if (done < 0) {
		ret_fault->error = -done;
	} else {
		ret_fault->name = name_of(values[done].one_reg);
		ret_fault->value = values[done].value;
	}
	return -1;
}

int cet_capture(const RegIo *io, uint32_t set, CetState *ret_state, CetFault *ret_fault)
{
	RegValue values[CET_N_REGS + 1];
	CetState state = {.has = set & (CET_HAS_XSS | (CET_HAS_XSS - 1))};
	unsigned n = list_values(&state, state.has, values);
	unsigned next = 0;

	if (judge(io->get(io->self, values, n), n, values, "read", ret_fault) < 0)
		return -1;
	if (state.has & CET_HAS_XSS)
		state.xss = values[next++].value;
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (state.has & 1u << i)
			state.value[i] = values[next++].value;
	*ret_state = state;
	return 0;
}

int cet_write(const RegIo *io, const CetState *state, CetFault *ret_fault)
{
	RegValue wanted[CET_N_REGS + 1], found[CET_N_REGS + 1];
	unsigned n = list_values(state, state->has, wanted);

	if (judge(io->set(io->self, wanted, n), n, wanted, "write", ret_fault) < 0)
		return -1;
	for (unsigned i = 0; i < n; i++)
		found[i] = (RegValue){wanted[i].one_reg, 0};
	if (judge(io->get(io->self, found, n), n, wanted, "read back", ret_fault) < 0)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		if (found[i].value == wanted[i].value)
			continue;
		*ret_fault = (CetFault){.attempt = "read back",
					.name = name_of(wanted[i].one_reg),
					.value = wanted[i].value,
					.found = found[i].value};
		return -1;
	}
	return 0;
}

int cet_restore(const RegIo *io, const CetState *state, const CetCpu *guest, const CetCpu *host,
		CetFault *ret_fault)
{
	RegProblem first;

	if (cet_check(state, guest, host, &first, 1) > 0) {
		*ret_fault = (CetFault){.attempt = "check",
					.name = first.name,
					.value = first.value,
					.problem = first};
		return -1;
	}
	return cet_write(io, state, ret_fault);
}

const char *cet_fault_text(const CetFault *fault, char *text, size_t size)
{
	unsigned long long value = fault->value;

	if (fault->problem.rule)
		return cet_problem_text(&fault->problem, text, size);
	if (!fault->name)
		snprintf(text, size, "cannot %s the CET registers: errno %d", fault->attempt,
			 fault->error);
	else if (fault->attempt[0] == 'w')
		snprintf(text, size, "KVM refuses %s=0x%llx", fault->name, value);
	else if (fault->found != fault->value)
		snprintf(text, size, "KVM took %s=0x%llx and holds 0x%llx", fault->name, value,
			 (unsigned long long)fault->found);
	else
		snprintf(text, size, "KVM does not %s %s", fault->attempt, fault->name);
	return text;
}
