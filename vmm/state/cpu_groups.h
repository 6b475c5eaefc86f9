// SPDX-License-Identifier: MIT
/* KVM's structures (linux/kvm.h, asm/kvm.h) described field by field. */
#ifndef UMBRA_STATE_CPU_GROUPS_H
#define UMBRA_STATE_CPU_GROUPS_H

#include "state/fields.h"

extern const StateGroup mp_state_group;
extern const StateGroup regs_group;
extern const StateGroup sregs_group; /* struct kvm_sregs2 */
extern const StateGroup xcrs_group;
extern const StateGroup debugregs_group;
extern const StateGroup lapic_group;
extern const StateGroup events_group;
extern const StateGroup clock_group;

#endif
