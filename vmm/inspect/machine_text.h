// SPDX-License-Identifier: MIT
/* Registers of a vCPU for people, one name=value after the other. */
#ifndef UMBRA_INSPECT_MACHINE_TEXT_H
#define UMBRA_INSPECT_MACHINE_TEXT_H

#include <linux/kvm.h>

/* Several lines, each ending in a newline; free with g_free. */
char *machine_text_registers(const struct kvm_regs *regs, const struct kvm_sregs *sregs);

#endif
