// SPDX-License-Identifier: MIT
/*
 * The runtime of the tiny test guests: integer-only 64-bit ring 0, the
 * first 4 GiB mapped one to one. See umbra/test_abi.h for what a guest prints and how it ends.
 *
 * Some hosts emulate ring 0 with few instructions: nothing here needs SSE, BMI,
 * INT n, SYSRET or CMPXCHG16B.
 */
#ifndef UMBRA_TESTS_RT_H
#define UMBRA_TESTS_RT_H

#include "start.h"
#include "umbra/test_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_RANGES_MAX 64

typedef struct MemoryRange {
	uint64_t start;
	uint64_t size;
	uint32_t type; /* 1 is RAM, in both boot protocols */
} MemoryRange;

/* What the VMM told the guest, whichever way it was entered. */
typedef struct BootInfo {
	const char *via; /* "pvh" or "linux" */
	const char *cmdline;
	uint64_t initrd; /* 0 for none */
	uint64_t initrd_size;
	uint64_t rsdp;
	unsigned n_ranges;
	MemoryRange ranges[RT_RANGES_MAX];
} BootInfo;

/* What interrupt_common in start.S pushes. */
typedef struct InterruptFrame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
} InterruptFrame;

/* Each guest defines these two. When guest_main returns, the guest says "done" and powers off. */
extern const char guest_name[];
void guest_main(const BootInfo *boot);

/* One line "NAME: …". Knows %s, %c, %u (uint64_t, decimal) and %x (uint64_t, with 0x). */
void say(const char *format, ...);
void put_char(char c);
/* Says that a check failed, and why; powers off. */
__attribute__((noreturn)) void wrong(const char *format, ...);
/* The last line of a guest that ends in a way of its own. */
void say_now(void);

__attribute__((noreturn)) void power_off(void);
__attribute__((noreturn)) void halt_forever(void);

/*
 * Takes over a vector; without one, an exception is reported and powers off.
 * The handler may change the frame.
 */
typedef void InterruptHandler(InterruptFrame *frame);
void set_handler(unsigned vector, InterruptHandler *handler);

/*
 * Goes to ring 3, interrupts on or off as they are. There is no way back but an exception.
 */
__attribute__((noreturn)) void enter_ring3(void (*entry)(void), void *stack);

/* The stack on which ring 0 handles what comes from ring 3 (TSS RSP0). */
void set_ring0_stack(void *top);

/*
 * A view of the page of physical memory at `address`, which may lie beyond 4 GiB
 * where at() does not reach. Valid until the next call.
 */
volatile uint64_t *view_page(uint64_t address);

/* The ACPI table with this signature (checksum verified), or NULL. */
const void *acpi_find(const BootInfo *boot, const char *signature);
bool acpi_sum_is_zero(const void *table, uint32_t length);

void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);

/* Physical memory below 4 GiB. */
static inline void *at(uint64_t address)
{
	/* Through a register: the compiler must not reason on address 0. */
	__asm__("" : "+r"(address));
	return (void *)address;
}

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

typedef struct Cpuid {
	uint32_t eax, ebx, ecx, edx;
} Cpuid;

static inline Cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	Cpuid c;

	__asm__ volatile("cpuid"
			 : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
			 : "a"(leaf), "c"(subleaf));
	return c;
}

#endif
