// SPDX-License-Identifier: MIT
/* What writer and reader of a host's description agree on. */
#ifndef UMBRA_INSPECT_HOST_NAMES_H
#define UMBRA_INSPECT_HOST_NAMES_H

#include "state/host_info.h"

#define HOST_N_ACCESSES (HOST_KVM_FAILED + 1)
extern const char *const host_access_names[HOST_N_ACCESSES];

#define HOST_DESCRIPTION_VERSION 1

#endif
