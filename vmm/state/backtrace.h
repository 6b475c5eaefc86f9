// SPDX-License-Identifier: MIT
/* A vCPU's call stack as its shadow stack tells it: plain data. */
#ifndef UMBRA_STATE_BACKTRACE_H
#define UMBRA_STATE_BACKTRACE_H

#include "cet/shadow_stack.h"
#include "umbra/cet.h"

#include <glib.h>

#define BACKTRACE_MAX 65536U /* entries: a shadow stack of 512 KiB */

typedef struct Backtrace {
	unsigned vcpu;
	unsigned cpl;
	CetReg from; /* guest_ssp, or pl3_ssp where ring 0 has parked the user's */
	uint64_t ssp;
	GArray *frames; /* of ShadowStackEntry, the youngest first */
	ShadowStackEnd end;
	uint64_t end_at;
} Backtrace;

Backtrace *backtrace_create(void);
void backtrace_destroy(Backtrace *backtrace);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Backtrace, backtrace_destroy)

#endif
