// SPDX-License-Identifier: MIT
/*
 * What a register of a virtual CPU is: a row of plain data with its names, its
 * fields and its rules, and the seam through which its value travels.
 */
#ifndef UMBRA_REG_H
#define UMBRA_REG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What KVM does when userspace writes a value. A later one outweighs an earlier one. */
typedef enum RegVerdict {
	REG_OK,	     /* takes it, and nothing speaks against it */
	REG_ACCEPTS, /* takes and keeps it, though the CPU will fault on it */
	REG_LOSES,   /* reports success and keeps the old value */
	REG_REFUSES, /* reports failure */
} RegVerdict;

typedef struct RegField {
	const char *name;
	uint8_t low;   /* its lowest bit */
	uint8_t width; /* in bits */
	const char *about;
} RegField;

static inline uint64_t reg_field_get(const RegField *field, uint64_t value)
{
	return value >> field->low & (~0ULL >> (64 - field->width));
}

typedef enum RegRuleKind {
	REG_RULE_EXISTS,    /* the register is there with any of `features`; stands first */
	REG_RULE_ZERO,	    /* `bits` are zero, unless the CPU has one of `features` */
	REG_RULE_NOT_ALL,   /* not all of `bits` are set */
	REG_RULE_CANONICAL, /* the value without the bits outside `bits` is a canonical address */
	REG_RULE_CROSS,	    /* concerns more than one register: its owner tests it */
} RegRuleKind;

typedef struct RegRule {
	RegRuleKind kind;
	uint64_t bits;
	uint32_t features;
	RegVerdict kvm;	   /* what mainline's KVM does with a value that breaks the rule */
	bool architecture; /* the CPU has this rule too: a guest cannot hold such a value */
	const char *text;  /* completes "bits …" */
	const char *remedy;
	uint32_t unlike;     /* where RegCpu.traits has one of these, … */
	RegVerdict kvm_then; /* … KVM does this; REG_OK: it has no such rule */
} RegRule;

typedef struct RegDesc {
	const char *name;
	const char *about;
	uint32_t msr;	  /* its index, or 0 if it is none */
	uint64_t one_reg; /* its id for KVM_GET_ONE_REG and KVM_SET_ONE_REG */
	const RegField *fields;
	unsigned n_fields;
	const RegRule *const *rules;
	unsigned n_rules;
} RegDesc;

/* The CPU a value is meant for. */
typedef struct RegCpu {
	uint32_t features;
	uint8_t linear_bits; /* canonical addresses repeat bit linear_bits - 1 above it */
	bool ignores_msrs;   /* kvm.ignore_msrs: unknown MSRs take any value and drop it */
	uint32_t traits;     /* what its KVM does otherwise than mainline's: RegRule.unlike */
} RegCpu;

/*
 * A register's rules boiled down for one CPU. Holds back every value that breaks a
 * rule, and may hold back others: what passes needs no closer look.
 */
typedef struct RegSieve {
	uint64_t zero;	    /* these bits are zero */
	uint64_t mask;	    /* these bits are not … */
	uint64_t not_these; /* … exactly these */
	uint64_t canonical; /* these bits are a canonical address … */
	uint8_t above;	    /* … of 64 - above bits */
} RegSieve;

typedef struct RegProblem {
	const char *name; /* of the register, or of what else is wrong: "cr4", "xss", … */
	uint64_t value;
	uint64_t bits; /* the offending ones */
	RegVerdict kvm;
	const RegRule *rule;
} RegProblem;

/*
 * The seam. Both functions move the values of `n` registers, named by their ONE_REG
 * ids, in order, and return how many they moved: a lesser number means that
 * values[number] was refused. A negative number is -errno of a failure that
 * concerns no single register.
 */
typedef struct RegIo {
	int (*get)(void *self, const uint64_t *ids, uint64_t *ret_values, unsigned n);
	int (*set)(void *self, const uint64_t *ids, const uint64_t *values, unsigned n);
	void *self;
} RegIo;

#endif
