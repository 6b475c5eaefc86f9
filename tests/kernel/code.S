// SPDX-License-Identifier: MIT
/*
 * Code for guests.c. It runs at BOX_CODE, wherever the linker put it: no absolute
 * addresses but those of box.h. OUT to port 0x10 is how it tells that it is there.
 */
#define IN	0x9000
#define OUT	0x9800
#define XSAVE	0xa000
#define MMIO	0xa00000

.macro code name
	.globl \name, \name\()_end
\name:
.endm

.macro code_end name
\name\()_end:
.endm

	.section .rodata
	.code64

/* The six MSRs a guest writes without an exit, and the table: old value out, new value in. */
code code_swap
1:	xor %ebx, %ebx
2:	mov %ebx, %ecx
	add $0x6a4, %ecx		/* pl0_ssp ... pl3_ssp, int_ssp_tab */
	cmp $5, %ebx
	jb 3f
	mov $0x6a0, %ecx		/* u_cet */
	je 3f
	mov $0x6a2, %ecx		/* s_cet */
3:	rdmsr
	mov %eax, OUT(,%rbx,8)
	mov %edx, OUT+4(,%rbx,8)
	mov IN(,%rbx,8), %eax
	mov IN+4(,%rbx,8), %edx
	wrmsr
	inc %ebx
	cmp $7, %ebx
	jb 2b
	out %al, $0x10
	jmp 1b
code_end code_swap

/* Writes the MSRs of the table in, spends a while, some of it on exits, reads them out. */
code code_hold
1:	mov $0x6a4, %ecx		/* pl0_ssp ... pl3_ssp, int_ssp_tab */
	xor %ebx, %ebx
2:	mov IN(,%rbx,8), %eax
	mov IN+4(,%rbx,8), %edx
	wrmsr
	inc %ecx
	inc %ebx
	cmp $5, %ebx
	jb 2b
	mov IN+40, %eax
	mov IN+44, %edx
	mov $0x6a0, %ecx		/* u_cet */
	wrmsr
	mov IN+48, %eax
	mov IN+52, %edx
	mov $0x6a2, %ecx		/* s_cet */
	wrmsr
	mov $40, %ebp
3:	mov $20000, %ecx
4:	pause
	loop 4b
	xor %eax, %eax
	cpuid
	dec %ebp
	jnz 3b
	mov $0x6a4, %ecx
	xor %ebx, %ebx
5:	rdmsr
	mov %eax, OUT(,%rbx,8)
	mov %edx, OUT+4(,%rbx,8)
	inc %ecx
	inc %ebx
	cmp $5, %ebx
	jb 5b
	mov $0x6a0, %ecx
	rdmsr
	mov %eax, OUT+40
	mov %edx, OUT+44
	mov $0x6a2, %ecx
	rdmsr
	mov %eax, OUT+48
	mov %edx, OUT+52
	out %al, $0x10
	jmp 1b
code_end code_hold

/* XSAVES of both components, then XRSTORS of what is there when it goes on. */
code code_xsaves
	xor %ecx, %ecx
	mov $7, %eax
	xor %edx, %edx
	xsetbv
	mov $0xda0, %ecx
	mov $0x1800, %eax
	wrmsr
	xsaves64 XSAVE
	out %al, $0x10
	mov $0x1800, %eax
	xor %edx, %edx
	xrstors64 XSAVE
	out %al, $0x10
code_end code_xsaves

/* A call, with an exit on the inside: SSP in OUT before, inside and after. */
code code_call
1:	rdsspq %rax
	mov %rax, OUT
	call 2f
	rdsspq %rax
	mov %rax, OUT+16
	out %al, $0x10
	jmp 1b
2:	rdsspq %rax
	mov %rax, OUT+8
	out %al, $0x10
	ret
code_end code_call

/* One access to a device each, by an instruction that branches or not. */
code code_mmio_mov
	mov MMIO, %rax
	out %al, $0x10
code_end code_mmio_mov
code code_mmio_jmp
	jmp *MMIO
code_end code_mmio_jmp
code code_mmio_call
	call *MMIO
code_end code_mmio_call

/* u_cet = IN. Without an IDT, a #GP ends in a shutdown. */
code code_write_u_cet
	mov $0x6a0, %ecx
	mov IN, %eax
	mov IN+4, %edx
	wrmsr
	out %al, $0x10
code_end code_write_u_cet

/* CR4.CET and CR0.WP, in the order in which they must not go. */
code code_clear_wp
	mov %cr0, %rax
	btr $16, %rax
	mov %rax, %cr0
	out %al, $0x10
code_end code_clear_wp

/* Spins through exits, so that an SMI has where to arrive. */
code code_smi
1:	rdsspq %rax
	mov %rax, OUT
	out %al, $0x10
	jmp 1b
code_end code_smi

	.code16
/* Handlers of the SMI: one that clears CR0.WP, one that spoils the SSP in SMRAM. */
code code_rsm
	mov %cr0, %eax
	btr $16, %eax
	mov %eax, %cr0
	rsm
code_end code_rsm
code code_rsm_spoilt
	movl $0x12345678, %eax
	movl $0x3ff1c, %ebx		/* BOX_SMBASE + 0xff18, the upper half */
	movl %eax, (%ebx)
	rsm
code_end code_rsm_spoilt

	.section .note.GNU-stack, "", @progbits
