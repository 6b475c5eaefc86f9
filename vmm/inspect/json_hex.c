// SPDX-License-Identifier: MIT
#include "inspect/json_hex.h"

#include <errno.h>
#include <glib.h>

struct json_object *json_hex(uint64_t value)
{
	char text[19];

	g_snprintf(text, sizeof(text), "0x%lx", value);
	return json_object_new_string(text);
}

bool json_hex_value(struct json_object *value, uint64_t *ret_value)
{
	const char *text = json_object_get_string(value);
	char *end;

	if (!json_object_is_type(value, json_type_string) || text[0] != '0' || text[1] != 'x' ||
	    !g_ascii_isxdigit(text[2]))
		return false;
	errno = 0;
	*ret_value = g_ascii_strtoull(text + 2, &end, 16);
	return errno == 0 && *end == '\0';
}

bool json_hex_get(struct json_object *object, const char *key, uint64_t *ret_value)
{
	return json_hex_value(json_object_object_get(object, key), ret_value);
}
