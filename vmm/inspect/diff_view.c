// SPDX-License-Identifier: MIT
#include "inspect/diff_view.h"

#include "inspect/json_hex.h"

#define PATH_WIDTH  32
#define VALUE_WIDTH 20
/* As compare.h says it of a value that is not there. */
#define NONE "none"

bool diff_view_is_same(const DiffView *view)
{
	for (guint i = 0; i < view->differences->len; i++)
		if (!((const StateDifference *)view->differences->pdata[i])->moves)
			return false;
	return !view->ram || view->ram->different == 0;
}

static void add_ram(GString *text, const DiffView *view)
{
	const RamDifference *ram = view->ram;

	if (!ram) {
		g_string_append_printf(text, "RAM was not compared: %s\n", view->why_no_ram);
		return;
	}
	if (ram->different == 0) {
		g_string_append_printf(text, "RAM is the same in all %lu pages\n", ram->pages);
		return;
	}
	g_string_append_printf(text, "RAM differs in %lu of %lu pages, %s", ram->different,
			       ram->pages,
			       ram->different > RAM_DIFFERENCE_FIRST ? "the first ones at" : "at");
	for (unsigned i = 0; i < MIN(ram->different, RAM_DIFFERENCE_FIRST); i++)
		g_string_append_printf(text, " 0x%lx", ram->first[i]);
	g_string_append_c(text, '\n');
}

char *diff_view_to_text(const DiffView *view)
{
	GString *text = g_string_new(NULL);

	if (view->differences->len > 0)
		g_string_append_printf(text, "%-*s  %-*s  %s\n", PATH_WIDTH, "", VALUE_WIDTH,
				       view->a, view->b);
	for (guint i = 0; i < view->differences->len; i++) {
		const StateDifference *difference = view->differences->pdata[i];

		g_string_append_printf(text, "%-*s  %-*s  %s%s\n", PATH_WIDTH, difference->path,
				       VALUE_WIDTH, difference->a, difference->b,
				       difference->moves ? "  (runs on by itself)" : "");
	}
	add_ram(text, view);
	g_string_append_printf(text, "%s and %s are %s\n", view->a, view->b,
			       diff_view_is_same(view) ? "the same" : "different");
	return g_string_free(text, FALSE);
}

static json_object *value_to_json(const char *value)
{
	return g_strcmp0(value, NONE) == 0 ? NULL : json_object_new_string(value);
}

static json_object *difference_to_json(const StateDifference *difference)
{
	json_object *json = json_object_new_object();

	json_object_object_add(json, "path", json_object_new_string(difference->path));
	json_object_object_add(json, "a", value_to_json(difference->a));
	json_object_object_add(json, "b", value_to_json(difference->b));
	json_object_object_add(json, "moves", json_object_new_boolean(difference->moves));
	return json;
}

static json_object *ram_to_json(const DiffView *view)
{
	json_object *json = json_object_new_object();
	const RamDifference *ram = view->ram;

	json_object_object_add(json, "compared", json_object_new_boolean(ram != NULL));
	if (!ram) {
		json_object_object_add(json, "why", json_object_new_string(view->why_no_ram));
		return json;
	}
	json_object *first = json_object_new_array();

	json_object_object_add(json, "pages", json_object_new_int64((int64_t)ram->pages));
	json_object_object_add(json, "different", json_object_new_int64((int64_t)ram->different));
	for (unsigned i = 0; i < MIN(ram->different, RAM_DIFFERENCE_FIRST); i++)
		json_object_array_add(first, json_hex(ram->first[i]));
	json_object_object_add(json, "first", first);
	return json;
}

json_object *diff_view_to_json(const DiffView *view)
{
	json_object *json = json_object_new_object(), *differences = json_object_new_array();

	for (guint i = 0; i < view->differences->len; i++)
		json_object_array_add(differences, difference_to_json(view->differences->pdata[i]));
	json_object_object_add(json, "version", json_object_new_int(1));
	json_object_object_add(json, "same", json_object_new_boolean(diff_view_is_same(view)));
	json_object_object_add(json, "differences", differences);
	json_object_object_add(json, "ram", ram_to_json(view));
	return json;
}
