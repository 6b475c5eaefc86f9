// SPDX-License-Identifier: MIT
/* Would a stopped machine run on on this very host? */
#ifndef UMBRA_KVM_HOST_CHECK_H
#define UMBRA_KVM_HOST_CHECK_H

#include "kvm/host.h"
#include "state/check.h"

/*
 * machine_state_check() against the live host, of which *ret_host is the description. Makes no
 * VM if there is nothing to find fault with: only what a quick look (host_probe_quick())
 * refuses is judged again by all that can be found out.
 */
GPtrArray *host_check(const HostPaths *paths, const MachineState *state, HostInfo *ret_host);

#endif
