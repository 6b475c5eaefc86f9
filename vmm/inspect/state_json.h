// SPDX-License-Identifier: MIT
/*
 * A state's tree of bytes (snapshot/state_tree.h) as it travels from a guest's process:
 * {"version": 1, "state": BASE64}. This folder does not know what is in it.
 */
#ifndef UMBRA_INSPECT_STATE_JSON_H
#define UMBRA_INSPECT_STATE_JSON_H

#include "base/json.h"

json_object *state_to_json(GBytes *tree);

/* For what another process sent; UMBRA_ERROR_INPUT if there is none in it. */
GBytes *state_from_json(json_object *json, GError **error);

#endif
