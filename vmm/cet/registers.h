// SPDX-License-Identifier: MIT
/* What of the table only this folder needs. */
#ifndef UMBRA_CET_REGISTERS_H
#define UMBRA_CET_REGISTERS_H

#include "umbra/cet.h"

#define MSR_IA32_XSS 0xda0

/* The ids of CetState.in_order: IA32_XSS, then the table's. */
extern const uint64_t cet_ids_in_order[1 + CET_N_REGS];

#endif
