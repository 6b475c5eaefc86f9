// SPDX-License-Identifier: MIT
/*
 * A virtual machine for one test: one vCPU with a chosen set of CET features, 8 MiB
 * of RAM, and 64-bit code at BOX_CODE. Whatever must not fail ends the program.
 */
#ifndef UMBRA_TESTS_KERNEL_BOX_H
#define UMBRA_TESTS_KERNEL_BOX_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BOX_SHSTK = 1,
	BOX_IBT = 2,
	BOX_LM = 4,
	BOX_ALL = 7,
};

/* Guest-physical, and linear as well: all is mapped one to one. */
#define BOX_CODE	 0x8000
#define BOX_IN		 0x9000
#define BOX_OUT		 0x9800
#define BOX_XSAVE	 0xa000
#define BOX_SMBASE	 0x30000
#define BOX_STACK	 0x1f0000
#define BOX_SHADOW_STACK 0x400000 /* 2 MiB, mapped as supervisor shadow stack */
#define BOX_RAM		 0x800000
#define BOX_MMIO	 0xa00000 /* mapped, and nothing there */

#define MSR_XSS		 0xda0
#define MSR_U_CET	 0x6a0
#define MSR_S_CET	 0x6a2
#define MSR_PL0_SSP	 0x6a4
#define MSR_PL3_SSP	 0x6a7
#define MSR_INT_SSP_TAB	 0x6a8

#define CR0_WP		 (1ULL << 16)
#define CR4_OSXSAVE	 (1ULL << 18)
#define CR4_CET		 (1ULL << 23)

typedef struct Box {
	int vm;
	int vcpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *ram;
} Box;

/* The file of /dev/kvm; and the CPUID that it supports, reduced to `features`. */
int box_kvm(void);
struct kvm_cpuid2 *box_cpuid(unsigned features);

void box_open(Box *box, unsigned features);
void box_open_without_cpuid(Box *box);
void box_close(Box *box);

/* In 64-bit mode with paging, CR0.WP and, if it has CET, CR4.CET; then `code` at BOX_CODE. */
void box_enter_long_mode(Box *box, bool cet);
void box_put(Box *box, uint64_t at, const void *data, size_t size);
uint64_t box_peek(const Box *box, uint64_t at);
void box_poke(Box *box, uint64_t at, uint64_t value);

/* The result of the ioctl; ONE_REG as 0 or -errno. */
int box_set_msr(Box *box, uint32_t msr, uint64_t value);
int box_get_msr(Box *box, uint32_t msr, uint64_t *ret_value);
int box_set_one_reg(Box *box, uint64_t id, uint64_t value);
int box_get_one_reg(Box *box, uint64_t id, uint64_t *ret_value);
int box_set_crs(Box *box, uint64_t cr0, uint64_t cr4);

/* Runs until an exit; its reason. Runs that do not come to one within 20 s end the program. */
uint32_t box_run(Box *box);

/* TAP; `beyond`: a point that a mainline kernel may fail, as far as is known. */
extern bool tap_mainline;
void tap(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tap_beyond(bool ok, const char *name);
int tap_end(void);

/* The two halves of the program. */
void test_interface(unsigned count);
void test_guests(void);

#endif
