// SPDX-License-Identifier: MIT
#include "inspect/json_read.h"

#include "inspect/json_hex.h"

#include <string.h>

json_object *json_member(json_object *json, const char *key, enum json_type type)
{
	json_object *value = json_object_is_type(json, json_type_object)
				     ? json_object_object_get(json, key)
				     : NULL;

	return json_object_is_type(value, type) ? value : NULL;
}

bool json_read_number(json_object *json, const char *key, unsigned max, unsigned *ret_value)
{
	json_object *value = json_member(json, key, json_type_int);

	if (!value || json_object_get_int64(value) < 0 || json_object_get_int64(value) > max)
		return false;
	*ret_value = (unsigned)json_object_get_int64(value);
	return true;
}

bool json_read_bool(json_object *json, const char *key, bool *ret_value)
{
	json_object *value = json_member(json, key, json_type_boolean);

	if (value)
		*ret_value = json_object_get_boolean(value);
	return value != NULL;
}

bool json_hex32(json_object *value, uint32_t *ret_value)
{
	uint64_t wide;

	if (!json_hex_value(value, &wide) || wide > UINT32_MAX)
		return false;
	*ret_value = (uint32_t)wide;
	return true;
}

bool json_read_hex32(json_object *json, const char *key, uint32_t *ret_value)
{
	return json_hex32(json_member(json, key, json_type_string), ret_value);
}

const char *json_read_text(json_object *json, const char *key, size_t max)
{
	json_object *value = json_member(json, key, json_type_string);
	const char *text = value ? json_object_get_string(value) : NULL;
	size_t length = text ? (size_t)json_object_get_string_len(value) : 0;

	/* A NUL inside would hide what follows it. */
	if (!text || length > max || strlen(text) != length || !g_utf8_validate(text, -1, NULL))
		return NULL;
	for (const char *at = text; *at; at++)
		if (g_ascii_iscntrl(*at))
			return NULL;
	return text;
}
