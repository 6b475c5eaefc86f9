// SPDX-License-Identifier: MIT
/*
 * The CET state of an x86 virtual CPU: what it consists of, what may be in it, and
 * how to save and restore it through KVM. Plain C, allocates nothing, keeps nothing.
 *
 * A vCPU's state is eight registers: seven MSRs, and the current shadow stack
 * pointer, which is none and travels by KVM_GET_ONE_REG (Linux 6.18). IA32_XSS
 * belongs to it as well, and what CR0, CR4 and CPUID say decides whether it fits.
 *
 *	cet_discover(kvm_fd, vcpu_fd, &set);		after KVM_SET_CPUID2
 *	cet_capture(&io, set, &state, &fault);		vCPU stopped
 *	cet_check(&state, &guest, &host, problems, n);	anywhere, before anything is touched
 *	cet_judge_init(&judge, &guest, &host);		once for a vCPU
 *	cet_restore(&io, &state, &judge, &fault);	after SREGS and XSAVE, before events
 */
#ifndef UMBRA_CET_H
#define UMBRA_CET_H

#include "umbra/cet_cpu.h"
#include "umbra/reg.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The registers in the order in which they are restored. */
typedef enum CetReg {
	CET_U_CET,
	CET_S_CET,
	CET_PL0_SSP,
	CET_PL1_SSP,
	CET_PL2_SSP,
	CET_PL3_SSP,
	CET_INT_SSP_TAB,
	CET_GUEST_SSP,
	CET_N_REGS,
} CetReg;

/* One row for each. Names, fields, rules and their sources: all there is to know of them. */
extern const RegDesc cet_registers[CET_N_REGS];

/* The register of this name, or NULL. */
const RegDesc *cet_register_find(const char *name);

/* Bits of a set of values beside 1 << CetReg. */
enum {
	CET_HAS_XSS = 1 << CET_N_REGS,
	CET_HAS_CR = 1 << (CET_N_REGS + 1), /* cr0 and cr4 */
};

typedef struct CetState {
	uint32_t has; /* which of the values below are there */
	union {
		struct {
			uint64_t xss;
			uint64_t value[CET_N_REGS];
		};
		uint64_t in_order[1 + CET_N_REGS]; /* the same, as they travel */
	};
	uint64_t cr0; /* for checks only: they travel with KVM_SET_SREGS */
	uint64_t cr4;
} CetState;

/*
 * Everything that speaks against loading `state` into a vCPU with the CPUID of
 * `guest` on `host`: rules of single registers, CR4.CET and CR0.WP, XSS, CPUID, and
 * registers that the guest has and the state lacks. Returns how many problems there
 * are, and writes up to `max` of them; 32 are room enough for any state.
 */
unsigned cet_check(const CetState *state, const CetCpu *guest, const CetCpu *host,
		   RegProblem *ret_problems, unsigned max);
#define CET_MAX_PROBLEMS 48

/*
 * The same rules boiled down for one guest's CPUID on one host: made once for a vCPU, so
 * that a restore costs little more than its ioctls. Holds back every state that
 * cet_check() finds fault with, and may hold back others.
 */
typedef struct CetJudge {
	CetCpu guest;
	CetCpu host;
	RegSieve sieve[CET_N_REGS];
	uint64_t xss;	    /* the bits that may be set */
	uint32_t required;  /* what a state must have, as in CetState.has … */
	uint32_t forbidden; /* … and must not have */
	bool passes_none;   /* the host takes away what the guest was shown */
} CetJudge;

void cet_judge_init(CetJudge *judge, const CetCpu *guest, const CetCpu *host);
bool cet_judge_passes(const CetJudge *judge, const CetState *state);

/* The same for one value; and KVM's answer to it alone, all rules weighed together. */
unsigned cet_check_value(CetReg reg, uint64_t value, const CetCpu *guest, const CetCpu *host,
			 RegProblem *ret_problems, unsigned max);
RegVerdict cet_verdict(CetReg reg, uint64_t value, const CetCpu *guest, const CetCpu *host);

/* True if a vCPU with the CPUID of `guest` has the register on `host`. */
bool cet_register_exists(CetReg reg, const CetCpu *guest, const CetCpu *host);

/* Which registers KVM serves for this vCPU: asks KVM_GET_MSR_INDEX_LIST of the system's
 * file and KVM_GET_REG_LIST of the vCPU, after KVM_SET_CPUID2. Returns 0 or -errno. */
int cet_discover(int kvm_fd, int vcpu_fd, uint32_t *ret_set);

/*
 * What this vCPU's KVM does otherwise than mainline's: bits of enum CetTrait. Tries values
 * and puts back what was there, so the vCPU must have its CPUID, of which `guest` is made, and
 * must not have run. Without IBT in it there is nothing to find out: 0. Returns 0 or -errno.
 */
int cet_traits(int vcpu_fd, const CetCpu *guest, uint32_t *ret_traits);

/* A vCPU's file as the seam: MSRs in one batch and the rest by ONE_REG, or all by ONE_REG. */
typedef struct CetVcpu {
	int fd;
	bool all_by_one_reg;
} CetVcpu;

RegIo cet_vcpu_io(CetVcpu *vcpu); /* `vcpu` must outlive the result */

/* What went wrong, and with which register. */
typedef struct CetFault {
	const char *attempt; /* "read", "write", "check", "read back" */
	const char *name;    /* the register, or NULL if it concerns none */
	uint64_t value;	     /* what was to be written */
	uint64_t found;	     /* what was read back instead */
	int error;	     /* errno, or 0 */
	RegProblem problem;  /* of a check: the first one */
} CetFault;

/*
 * Reads the registers of `set` and IA32_XSS if it is in the set: two ioctls by
 * cet_vcpu_io(). Leaves cr0 and cr4 to the caller. Returns 0, or -1 with *ret_fault.
 */
int cet_capture(const RegIo *io, uint32_t set, CetState *ret_state, CetFault *ret_fault);

/*
 * Checks, writes XSS and then the registers in the order of the table, reads all
 * back and compares. After a failed check nothing was touched; after any other
 * failure the vCPU holds a part of the state. Returns 0, or -1 with *ret_fault.
 */
int cet_restore(const RegIo *io, const CetState *state, const CetJudge *judge, CetFault *ret_fault);

/* The same without the check: for a value that KVM takes and the rules do not. */
int cet_write(const RegIo *io, const CetState *state, CetFault *ret_fault);

/* One line without newline, like snprintf(); both return `text`. */
const char *cet_problem_text(const RegProblem *problem, char *text, size_t size);
const char *cet_fault_text(const CetFault *fault, char *text, size_t size);

/* "accepts", "accepts-and-loses", "refuses", "ok"; and "63:12, 5:2" for a mask. */
const char *cet_verdict_name(RegVerdict verdict);
const char *cet_bits_text(uint64_t bits, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
