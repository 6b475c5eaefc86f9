// SPDX-License-Identifier: MIT
/*
 * Capture and restore through the seam. A state is kept in the order in which it
 * travels, so that a whole one goes through without being copied; what is said of
 * cost in docs/ and held by tests/lab/cet_cost.c rests on that.
 */
#include "cet/registers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	SLOTS = 1 + CET_N_REGS,
	ALL_SLOTS = (1 << SLOTS) - 1,
};

/* A set's bits by the slots of CetState.in_order: XSS travels first. */
static uint32_t slots_of(uint32_t set)
{
	return (set & (CET_HAS_XSS - 1)) << 1 | (set & CET_HAS_XSS) >> CET_N_REGS;
}

/* A part of a state, packed for the seam. */
typedef struct Part {
	uint64_t ids[SLOTS];
	uint64_t values[SLOTS];
	unsigned n;
} Part;

static void part_init(Part *part, const uint64_t in_order[SLOTS], uint32_t slots)
{
	part->n = 0;
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		if (!(slots & 1u << slot))
			continue;
		part->ids[part->n] = cet_ids_in_order[slot];
		part->values[part->n++] = in_order[slot];
	}
}

static const char *name_of(uint64_t id)
{
	for (unsigned i = 0; i < CET_N_REGS; i++)
		if (cet_registers[i].one_reg == id)
			return cet_registers[i].name;
	return "xss";
}

/* A seam that moved less than all: says which register it stopped at. */
static int fail(CetFault *ret_fault, const char *attempt, int done, const uint64_t *ids,
		const uint64_t *values)
{
	*ret_fault = (CetFault){.attempt = attempt};
	if (done < 0) {
		ret_fault->error = -done;
	} else {
		ret_fault->name = name_of(ids[done]);
		ret_fault->value = ret_fault->found = values[done];
	}
	return -1;
}

static int capture_part(const RegIo *io, uint32_t slots, uint64_t in_order[SLOTS],
			CetFault *ret_fault)
{
	Part part;
	unsigned next = 0;

	part_init(&part, in_order, slots);
	int done = io->get(io->self, part.ids, part.values, part.n);

	if (done != (int)part.n)
		return fail(ret_fault, "read", done, part.ids, part.values);
	for (unsigned slot = 0; slot < SLOTS; slot++)
		if (slots & 1u << slot)
			in_order[slot] = part.values[next++];
	return 0;
}

int cet_capture(const RegIo *io, uint32_t set, CetState *ret_state, CetFault *ret_fault)
{
	uint32_t slots = slots_of(set);
	uint64_t in_order[SLOTS] = {0};

	if (slots == ALL_SLOTS) {
		int done = io->get(io->self, cet_ids_in_order, in_order, SLOTS);

		if (done != SLOTS)
			return fail(ret_fault, "read", done, cet_ids_in_order, in_order);
	} else if (capture_part(io, slots, in_order, ret_fault) < 0) {
		return -1;
	}
	*ret_state = (CetState){.has = set & (CET_HAS_XSS | (CET_HAS_XSS - 1))};
	memcpy(ret_state->in_order, in_order, sizeof(in_order));
	return 0;
}

/* Writes, reads back, and compares: KVM reports success for values that it drops. */
static int write_values(const RegIo *io, const uint64_t *ids, const uint64_t *values, unsigned n,
			CetFault *ret_fault)
{
	uint64_t found[SLOTS];
	int done = io->set(io->self, ids, values, n);

	if (done != (int)n)
		return fail(ret_fault, "write", done, ids, values);
	done = io->get(io->self, ids, found, n);
	if (done != (int)n)
		return fail(ret_fault, "read back", done, ids, values);
	if (memcmp(found, values, n * sizeof(found[0])) == 0)
		return 0;
	done = 0;
	while (found[done] == values[done])
		done++;
	*ret_fault = (CetFault){.attempt = "read back",
				.name = name_of(ids[done]),
				.value = values[done],
				.found = found[done]};
	return -1;
}

int cet_write(const RegIo *io, const CetState *state, CetFault *ret_fault)
{
	uint32_t slots = slots_of(state->has);
	Part part;

	if (slots == ALL_SLOTS)
		return write_values(io, cet_ids_in_order, state->in_order, SLOTS, ret_fault);
	part_init(&part, state->in_order, slots);
	return write_values(io, part.ids, part.values, part.n, ret_fault);
}

/* The first thing that cet_check() finds fault with: kept apart, sound states never come here. */
static bool find_fault(const CetState *state, const CetJudge *judge, CetFault *ret_fault)
{
	RegProblem first;

	if (cet_check(state, &judge->guest, &judge->host, &first, 1) == 0)
		return false;
	*ret_fault = (CetFault){
		.attempt = "check",
		.name = first.name,
		.value = first.value,
		.problem = first,
	};
	return true;
}

int cet_restore(const RegIo *io, const CetState *state, const CetJudge *judge, CetFault *ret_fault)
{
	if (!cet_judge_passes(judge, state) && find_fault(state, judge, ret_fault))
		return -1;
	return cet_write(io, state, ret_fault);
}

const char *cet_fault_text(const CetFault *fault, char *text, size_t size)
{
	unsigned long long value = fault->value;

	if (fault->problem.rule)
		return cet_problem_text(&fault->problem, text, size);
	if (!fault->name)
		snprintf(text, size, "cannot %s the CET registers: %s", fault->attempt,
			 strerror(fault->error));
	else if (strcmp(fault->attempt, "write") == 0)
		snprintf(text, size, "KVM refuses %s=0x%llx", fault->name, value);
	else if (fault->found != fault->value)
		snprintf(text, size, "KVM took %s=0x%llx and holds 0x%llx", fault->name, value,
			 (unsigned long long)fault->found);
	else
		snprintf(text, size, "KVM does not let %s be read", fault->name);
	return text;
}
