// SPDX-License-Identifier: MIT
/*
 * User shadow stacks on Linux, without help from the C library: the arch_prctl
 * calls (arch/x86/include/uapi/asm/prctl.h) and a look at the shadow stack.
 *
 * Everything here is inlined: a function that was entered before the shadow
 * stack was on has no entry there and must never return.
 */
#ifndef UMBRA_TESTS_SHSTK_H
#define UMBRA_TESTS_SHSTK_H

#include <stdint.h>
#include <sys/syscall.h>

#define ARCH_SHSTK_ENABLE 0x5001
#define ARCH_SHSTK_STATUS 0x5005
#define ARCH_SHSTK_SHSTK  1UL

/* From asm-generic/siginfo.h of Linux 6.6; older headers lack it. */
#define SHSTK_SEGV_CPERR 10

/* The raw system call: 0, or minus an errno. */
static inline __attribute__((always_inline)) long shstk_prctl(unsigned long code,
							      unsigned long argument)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"((long)SYS_arch_prctl), "D"(code), "S"(argument)
			 : "rcx", "r11", "memory");
	return result;
}

/* The current shadow stack pointer; 0 where there is none (RDSSPQ is a NOP then). */
static inline __attribute__((always_inline)) uint64_t shstk_pointer(void)
{
	uint64_t ssp = 0;

	__asm__ volatile("rdsspq %0" : "+r"(ssp)::"memory");
	return ssp;
}

#endif
