/* SPDX-License-Identifier: MIT */
/* Linked in, this makes a guest a PVH kernel (Xen ELF note 18: the 32-bit entry). */
	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 8, 18
	.asciz	"Xen"
	.quad	start_pvh

	.section .note.GNU-stack, "", @progbits
