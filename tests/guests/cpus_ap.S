/* SPDX-License-Identifier: MIT */
/*
 * Where the other processors of a guest start: in real mode at a copy
 * of ap_trampoline, from there straight to 64-bit mode (paging and protection
 * on in one write). Each says that it is there, and sleeps or goes where it is sent.
 */
#include "start.h"

	.section .text
	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
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
	ljmpl	$SELECTOR_CODE, $ap_long
	.balign	4
ap_gdt_pointer:
	.word	SELECTOR_TSS - 1
	.long	gdt
ap_trampoline_end:

	.code64
ap_long:
	mov	0xfee00020, %eax
	shr	$24, %eax
	mov	ap_entry, %rbx
	mov	ap_stack, %rsp
	xor	%ebp, %ebp
	mov	$SELECTOR_DATA, %ecx
	mov	%ecx, %ss
	mov	%ecx, %ds
	mov	%ecx, %es
	lock bts %eax, ap_seen
	lock incl ap_count
	test	%rbx, %rbx
	jz	1f
	sub	$8, %rsp		/* as after a call */
	jmp	*%rbx
1:	cli
	hlt
	jmp	1b

	.section .bss
	.balign	8
	.globl	ap_seen, ap_count, ap_entry, ap_stack
ap_entry:
	.skip	8
ap_stack:
	.skip	8
ap_seen:
	.skip	32
ap_count:
	.skip	4

	.section .note.GNU-stack, "", @progbits
