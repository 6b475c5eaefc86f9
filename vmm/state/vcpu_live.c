// SPDX-License-Identifier: MIT
#include "state/vcpu_live.h"

#define SHSTK_EN (1UL << 0)
#define ENDBR_EN (1UL << 2)

const char *vcpu_mode_name(const VcpuView *view)
{
	if (!(view->paging.cr0 & X86_CR0_PE))
		return "real";
	return view->paging.efer & X86_EFER_LMA ? "long" : "protected";
}

CetReg vcpu_ruling_register(const VcpuView *view)
{
	return view->cpl == 3 ? CET_U_CET : CET_S_CET;
}

static bool is_live(const VcpuView *view, uint64_t enable)
{
	CetReg ruling = vcpu_ruling_register(view);

	return view->paging.cr0 & X86_CR0_PE && view->paging.cr4 & X86_CR4_CET &&
	       view->cet.has & 1u << ruling && view->cet.value[ruling] & enable;
}

bool vcpu_shstk_is_live(const VcpuView *view)
{
	return is_live(view, SHSTK_EN);
}

bool vcpu_ibt_is_live(const VcpuView *view)
{
	return is_live(view, ENDBR_EN);
}
