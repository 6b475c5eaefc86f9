/* SPDX-License-Identifier: MIT */
/*
 * From either entry to rt_main(kind, boot info) in 64-bit mode, ring 0, with
 * our own page tables, descriptors and stack:
 *
 *  - start_pvh: 32-bit protected mode, paging off, start info in EBX. As short
 *    as it can be, because it is emulated on hosts without hardware help;
 *  - start_long: 64-bit mode, boot_params in RSI; the ELF's entry point.
 *
 * The first 4 GiB are mapped one to one, for ring 3 as well.
 */
#include "start.h"

	.section .text
	.code32
	.globl start_pvh
start_pvh:
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$page_map, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	mov	$EFER_LME, %eax
	xor	%edx, %edx
	wrmsr
	mov	$(CR0_PG | CR0_WP | CR0_ET | CR0_PE), %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$SELECTOR_CODE, $1f

	.code64
1:	mov	$BOOT_KIND_PVH, %edi
	mov	%ebx, %esi
	jmp	start_common

	.globl start_long
start_long:
	mov	$page_map, %eax
	mov	%rax, %cr3
	lgdt	gdt_pointer
	mov	$BOOT_KIND_LINUX, %edi
	mov	$stack_top, %esp
	push	$SELECTOR_CODE
	push	$start_common
	lretq

start_common:
	mov	$SELECTOR_DATA, %eax
	mov	%eax, %ss
	mov	%eax, %ds
	mov	%eax, %es
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %esp
	xor	%ebp, %ebp
	call	rt_main
1:	hlt
	jmp	1b

/* One stub per vector, 16 bytes each: a frame of the same shape for all, then rt_interrupt(frame). */
	.balign	16
	.globl	interrupt_stubs
interrupt_stubs:
	i = 0
	.rept	INTERRUPT_VECTORS
	.balign	16
	endbr64
	.if	(i != 8) && (i < 10 || i > 14) && (i != 17) && (i != 21)
	push	$0			/* the CPU pushes no error code for this one */
	.endif
	push	$i
	jmp	interrupt_common
	i = i + 1
	.endr

interrupt_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	call	rt_interrupt
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	.section .data
	.balign	16
	.globl	gdt, gdt_pointer
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x08: ring 0 code, 64-bit */
	.quad	0x00cf93000000ffff	/* 0x10: ring 0 data */
	.quad	0x00cff3000000ffff	/* 0x18: ring 3 data */
	.quad	0x00affb000000ffff	/* 0x20: ring 3 code, 64-bit */
	.quad	0x00cf9b000000ffff	/* 0x28: ring 0 code, 32-bit */
	.quad	0, 0			/* 0x30: TSS, filled in by rt_main */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	/* 2 MiB pages (not every host offers 1 GiB ones): present, writable, user, accessed, dirty */
	.balign	4096
	.globl	page_map, page_directory_pointers
page_map:
	.quad	page_directory_pointers + 0x27
	.fill	511, 8, 0
page_directory_pointers:
	i = 0
	.rept	4
	.quad	page_directories + (i << 12) + 0x27
	i = i + 1
	.endr
	.fill	508, 8, 0
page_directories:
	i = 0
	.rept	4 * 512
	.quad	(i << 21) + 0xe7
	i = i + 1
	.endr

	.section .bss
	.balign	16
	.skip	16384
	.globl	stack_top
stack_top:

	.section .note.GNU-stack, "", @progbits
