// SPDX-License-Identifier: MIT
/* Members of JSON objects that somebody else wrote: there and of the right type, or not taken. */
#ifndef UMBRA_INSPECT_JSON_READ_H
#define UMBRA_INSPECT_JSON_READ_H

#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

/* The member `key` of that type, or NULL; `json` may be anything, NULL too. */
json_object *json_member(json_object *json, const char *key, enum json_type type);

/* An integer within [0, max]. */
bool json_read_number(json_object *json, const char *key, unsigned max, unsigned *ret_value);

bool json_read_bool(json_object *json, const char *key, bool *ret_value);

/* A "0x…" string of at most 32 bits: the value itself, and a member. */
bool json_hex32(json_object *value, uint32_t *ret_value);
bool json_read_hex32(json_object *json, const char *key, uint32_t *ret_value);

/* Text of at most `max` bytes that a terminal can show: no control characters. NULL if not. */
const char *json_read_text(json_object *json, const char *key, size_t max);

#endif
