// SPDX-License-Identifier: MIT
/* A vCPU's CET state for people. */
#ifndef UMBRA_INSPECT_VCPU_TEXT_H
#define UMBRA_INSPECT_VCPU_TEXT_H

#include "state/vcpu_view.h"

#include <glib.h>

/*
 * Lines, the last one ending in a newline; free with g_free. With `before`, an
 * earlier view of the same vCPU, lines that say another value are marked and
 * tell the old one.
 */
char *vcpu_view_to_text(const VcpuView *view, const VcpuView *before);

/* Only what differs, one line for each value, "" if nothing does; free with g_free. */
char *vcpu_view_changes(const VcpuView *view, const VcpuView *before);

#endif
