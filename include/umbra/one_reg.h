// SPDX-License-Identifier: MIT
/*
 * The x86 side of KVM's ONE_REG interface (Linux 6.18), for builds against older
 * headers, and in a form that may stand in a static table: the kernel's own
 * macros are statement expressions, and sign-extend an index above 0x7fffffff.
 *
 * An id is KVM_REG_X86 | KVM_REG_SIZE_U64 | type << 32 | index; see "x86" under
 * KVM_SET_ONE_REG in Documentation/virt/kvm/api.rst and arch/x86/include/uapi/asm/kvm.h.
 */
#ifndef UMBRA_ONE_REG_H
#define UMBRA_ONE_REG_H

/* The architecture (0x20 << 56) and the width (3 << 52: 2^3 bytes) of every id here. */
#define UMBRA_ONE_REG_X86_U64  0x2030000000000000ULL

#define UMBRA_ONE_REG_TYPE_MSR 2ULL
#define UMBRA_ONE_REG_TYPE_KVM 3ULL

#define UMBRA_ONE_REG_ID(type, index) \
	(UMBRA_ONE_REG_X86_U64 | ((type) << 32) | ((index)&0xffffffffULL))

#define UMBRA_ONE_REG_MSR(msr) UMBRA_ONE_REG_ID(UMBRA_ONE_REG_TYPE_MSR, (msr))

/* The current shadow stack pointer: a register of KVM's own numbering, no MSR. */
#define UMBRA_ONE_REG_GUEST_SSP UMBRA_ONE_REG_ID(UMBRA_ONE_REG_TYPE_KVM, 0ULL)

#define UMBRA_ONE_REG_TYPE(id)	(((id) >> 32) & 0xffULL)
#define UMBRA_ONE_REG_INDEX(id) ((id)&0xffffffffULL)

#endif
