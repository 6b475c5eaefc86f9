// SPDX-License-Identifier: MIT
#include "machine/internal.h"

#include "base/error.h"

#include <string.h>

bool machine_view_vcpu(Machine *machine, unsigned id, VcpuView *ret_view, GError **error)
{
	KvmVcpu *vcpu = machine_vcpu(machine, id);
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	CetFault fault;
	char text[256];
	uint32_t set;

	if (!vcpu)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "there is no vCPU %u: 0 to %u", id,
				  machine->n_vcpus - 1);
	if (!kvm_vcpu_get_regs(vcpu, &regs, error) || !kvm_vcpu_get_sregs(vcpu, &sregs, error))
		return false;
	*ret_view = (VcpuView){
		.id = id,
		.cpl = sregs.ss.dpl,
		.rip = regs.rip,
		.paging = {.cr0 = sregs.cr0,
			   .cr3 = sregs.cr3,
			   .cr4 = sregs.cr4,
			   .efer = sregs.efer},
		.guest = machine->guest_cpu,
		.host = machine->host_cpu,
	};
	int failed = cet_discover(machine->system.fd, vcpu->fd, &set);

	if (failed)
		return umbra_fail_errno(error, -failed, "vcpu %u: which CET registers there are",
					id);
	CetVcpu seam = {.fd = vcpu->fd};
	RegIo io = cet_vcpu_io(&seam);

	if (cet_capture(&io, set, &ret_view->cet, &fault) < 0)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "vcpu %u: %s", id,
				  cet_fault_text(&fault, text, sizeof(text)));
	ret_view->cet.cr0 = sregs.cr0;
	ret_view->cet.cr4 = sregs.cr4;
	ret_view->cet.has |= CET_HAS_CR;
	return true;
}

bool machine_write_cet(Machine *machine, unsigned id, const CetState *state, GError **error)
{
	KvmVcpu *vcpu = machine_vcpu(machine, id);
	CetFault fault, ignored;
	CetState old;
	char text[512];

	if (!vcpu)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "there is no vCPU %u: 0 to %u", id,
				  machine->n_vcpus - 1);
	CetVcpu seam = {.fd = vcpu->fd};
	RegIo io = cet_vcpu_io(&seam);

	if (cet_capture(&io, state->has, &old, &fault) == 0) {
		if (cet_write(&io, state, &fault) == 0)
			return true;
		/* Registers before the one that failed hold new values by now. */
		(void)cet_write(&io, &old, &ignored);
	}
	return umbra_fail(error, UMBRA_ERROR_FAILED, "vcpu %u: %s", id,
			  cet_fault_text(&fault, text, sizeof(text)));
}
