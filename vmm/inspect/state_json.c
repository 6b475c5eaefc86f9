// SPDX-License-Identifier: MIT
#include "inspect/state_json.h"

#include "base/error.h"
#include "inspect/json_read.h"

json_object *state_to_json(GBytes *tree)
{
	json_object *json = json_object_new_object();
	gsize size;
	const guchar *data = g_bytes_get_data(tree, &size);
	g_autofree char *text = g_base64_encode(data, size);

	json_object_object_add(json, "version", json_object_new_int(1));
	json_object_object_add(json, "state", json_object_new_string(text));
	return json;
}

GBytes *state_from_json(json_object *json, GError **error)
{
	json_object *text = json_member(json, "state", json_type_string);
	gsize size;
	guchar *data = text ? g_base64_decode(json_object_get_string(text), &size) : NULL;

	if (!data || size == 0) {
		g_free(data);
		umbra_fail(error, UMBRA_ERROR_INPUT, "the guest's answer holds no state");
		return NULL;
	}
	return g_bytes_new_take(data, size);
}
