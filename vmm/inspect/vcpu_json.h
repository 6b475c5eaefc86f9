// SPDX-License-Identifier: MIT
/*
 * A vCPU's CET state as JSON: what `umbra inspect --json` prints, and the form
 * in which it travels from a guest's process.
 *
 *	{"id", "cpl", "mode", "rip",
 *	 "live": {"shstk", "ibt"},
 *	 "registers": [{"name", "about", "msr"?, "one_reg", "value", "fields", "verdict"}…],
 *	 "control": {"cr0", "cr0_wp", "cr3", "cr4", "cr4_cet", "efer",
 *	             "xss"?, "xss_cet_user"?, "xss_cet_supervisor"?},
 *	 "guest_cpu", "host_cpu": {"shstk", "ibt", "lm", "xsaves", "linear_bits", "xss",
 *	             "ignores_msrs"?, "traits"?},
 *	 "problems": [{"register", "value", "bits", "rule", "kvm", "remedy"}…]}
 *
 * "live", "mode", "fields", "verdict" and "problems" follow from the rest, and
 * are there for readers who do not have the rules.
 */
#ifndef UMBRA_INSPECT_VCPU_JSON_H
#define UMBRA_INSPECT_VCPU_JSON_H

#include "base/json.h"
#include "state/vcpu_view.h"

#include <stdbool.h>

json_object *vcpu_view_to_json(const VcpuView *view);

/*
 * Some vCPUs' views, of VcpuView: {"version": 1, "source": …, "vcpus": […]}; callers add
 * what else they know. `source`: "live" or "snapshot".
 */
json_object *vcpu_views_to_json(const GArray *views, const char *source);

/* For what another process sent; UMBRA_ERROR_INPUT says what is wrong with it. */
bool vcpu_view_from_json(json_object *json, VcpuView *ret_view, GError **error);

/* One element of "problems". */
json_object *reg_problem_to_json(const RegProblem *problem);

#endif
