// SPDX-License-Identifier: MIT
/* json-c under glib's automatic cleanup. */
#ifndef UMBRA_BASE_JSON_H
#define UMBRA_BASE_JSON_H

#include <glib.h>
#include <json-c/json.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_object, json_object_put)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_tokener, json_tokener_free)

#endif
