// SPDX-License-Identifier: MIT
#include "kvm/host_check.h"

GPtrArray *host_check(const HostPaths *paths, const MachineState *state, HostInfo *ret_host)
{
	host_probe_quick(paths, ret_host);
	g_autoptr(GPtrArray) problems = machine_state_check(state, ret_host);

	if (problems->len == 0 || ret_host->access != HOST_KVM_USABLE)
		return g_steal_pointer(&problems);
	host_info_finish(ret_host);
	host_probe(paths, ret_host);
	return machine_state_check(state, ret_host);
}
