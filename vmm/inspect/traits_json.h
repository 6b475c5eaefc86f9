// SPDX-License-Identifier: MIT
/* The traits of a KVM (enum CetTrait) as JSON: an array of their names. */
#ifndef UMBRA_INSPECT_TRAITS_JSON_H
#define UMBRA_INSPECT_TRAITS_JSON_H

#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

json_object *cet_traits_to_json(uint32_t traits);

/* False, and *ret_traits is left alone, unless it is an array of names that are known. */
bool cet_traits_from_json(json_object *json, uint32_t *ret_traits);

#endif
