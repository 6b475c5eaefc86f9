// SPDX-License-Identifier: MIT
/* What a vCPU's CET state means where it stands. */
#ifndef UMBRA_STATE_VCPU_LIVE_H
#define UMBRA_STATE_VCPU_LIVE_H

#include "state/vcpu_view.h"

#define X86_CR0_PE   (1UL << 0)
#define X86_CR0_WP   (1UL << 16)
#define X86_CR4_CET  (1UL << 23)
#define X86_EFER_LMA (1UL << 10)

/* "real", "protected", "long". */
const char *vcpu_mode_name(const VcpuView *view);

/* The register that rules at the present privilege level: u_cet in ring 3, else s_cet. */
CetReg vcpu_ruling_register(const VcpuView *view);

/*
 * Are shadow stacks, is IBT in force at the present privilege level? Both need
 * protected mode, CR4.CET, and their bit in the ruling register (SDM vol. 1, 17.1).
 */
bool vcpu_shstk_is_live(const VcpuView *view);
bool vcpu_ibt_is_live(const VcpuView *view);

#endif
