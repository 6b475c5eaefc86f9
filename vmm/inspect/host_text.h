// SPDX-License-Identifier: MIT
/* What a host offers for CET, for people and for programs. */
#ifndef UMBRA_INSPECT_HOST_TEXT_H
#define UMBRA_INSPECT_HOST_TEXT_H

#include "state/host_info.h"

/* Lines for a terminal, the last one ending in a newline; free with g_free. */
char *host_text(const HostInfo *info);

/*
 * One JSON object, with all that a check on another machine
 * needs of this one; ends in a newline; free with g_free.
 */
char *host_json(const HostInfo *info);

#endif
