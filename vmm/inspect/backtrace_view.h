// SPDX-License-Identifier: MIT
/* Backtraces as JSON (the form in which they travel from a guest's process) and as text. */
#ifndef UMBRA_INSPECT_BACKTRACE_VIEW_H
#define UMBRA_INSPECT_BACKTRACE_VIEW_H

#include "base/json.h"
#include "inspect/symbols.h"
#include "state/backtrace.h"

/*
 * {"id", "cpl", "from", "ssp", "frames": [{"at", "value", "kind", "symbol"?}…],
 * "end": {"reason", "at"}}. Return addresses get a symbol if `symbols` (or NULL)
 * knows one.
 */
json_object *backtrace_to_json(const Backtrace *backtrace, Symbols *symbols);

/* Its inverse, for what another process sent; UMBRA_ERROR_INPUT if it is no backtrace. */
Backtrace *backtrace_from_json(json_object *json, GError **error);

/* Lines for people; free with g_free. */
char *backtrace_to_text(const Backtrace *backtrace, Symbols *symbols);

#endif
