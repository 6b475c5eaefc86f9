/* SPDX-License-Identifier: MIT */
/* What start.S and the C runtime share. */
#ifndef UMBRA_TESTS_START_H
#define UMBRA_TESTS_START_H

#define SELECTOR_CODE	   0x08
#define SELECTOR_DATA	   0x10
#define SELECTOR_USER_DATA 0x1b
#define SELECTOR_USER_CODE 0x23
#define SELECTOR_TSS	   0x30

#define CR0_PE		   0x00000001
#define CR0_ET		   0x00000010
#define CR0_WP		   0x00010000
#define CR0_PG		   0x80000000
#define CR4_PAE		   0x00000020
#define CR4_CET		   0x00800000

#define MSR_EFER	   0xc0000080
#define EFER_LME	   0x00000100

#define BOOT_KIND_PVH	   0
#define BOOT_KIND_LINUX	   1

/* 32 exceptions and 16 vectors for devices. */
#define INTERRUPT_VECTORS 48

#endif
