// SPDX-License-Identifier: MIT
/* 64-bit values in JSON are "0x…" strings: readers keep 53 bits of a number. */
#ifndef UMBRA_INSPECT_JSON_HEX_H
#define UMBRA_INSPECT_JSON_HEX_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

struct json_object *json_hex(uint64_t value);

/* The value if it is such a string and nothing else. */
bool json_hex_value(struct json_object *value, uint64_t *ret_value);
/* The value of `key` if it is such a string and nothing else. */
bool json_hex_get(struct json_object *object, const char *key, uint64_t *ret_value);

#endif
