// SPDX-License-Identifier: MIT
/* What speaks against loading a state (state/check.h), for people and for programs. */
#ifndef UMBRA_INSPECT_CHECK_VIEW_H
#define UMBRA_INSPECT_CHECK_VIEW_H

#include "base/json.h"
#include "state/check.h"

/* One line for each problem, "" if there is none; free with g_free. */
char *check_to_text(const GPtrArray *problems);

/* [{"vcpu" (null: the machine), "register", "value", "bits", "rule", "kvm", "remedy"}…] */
json_object *check_to_json(const GPtrArray *problems);

#endif
