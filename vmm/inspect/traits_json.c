// SPDX-License-Identifier: MIT
#include "inspect/traits_json.h"

#include "umbra/cet_cpu.h"

#include <string.h>

json_object *cet_traits_to_json(uint32_t traits)
{
	json_object *names = json_object_new_array();

	for (unsigned i = 0; i < CET_N_TRAITS; i++)
		if (traits & 1u << i)
			json_object_array_add(names, json_object_new_string(cet_trait_names[i]));
	return names;
}

bool cet_traits_from_json(json_object *json, uint32_t *ret_traits)
{
	uint32_t traits = 0;

	if (!json_object_is_type(json, json_type_array))
		return false;
	for (size_t n = 0; n < json_object_array_length(json); n++) {
		json_object *entry = json_object_array_get_idx(json, n);
		unsigned i = 0;

		if (!json_object_is_type(entry, json_type_string))
			return false;
		while (i < CET_N_TRAITS &&
		       strcmp(json_object_get_string(entry), cet_trait_names[i]) != 0)
			i++;
		if (i == CET_N_TRAITS)
			return false;
		traits |= 1u << i;
	}
	*ret_traits = traits;
	return true;
}
