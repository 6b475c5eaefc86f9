// SPDX-License-Identifier: MIT
#include "inspect/backtrace_view.h"

#include "base/error.h"
#include "inspect/json_hex.h"
#include "inspect/json_read.h"

#include <string.h>

/*
 * A return address is the instruction after a call: of a call that never
 * returns, that may be the next function. The byte before it is in the caller.
 */
static char *name_of(const ShadowStackEntry *entry, Symbols *symbols)
{
	g_autofree char *name = NULL;

	if (!symbols || entry->kind != SHADOW_STACK_RETURN)
		return NULL;
	name = symbols_name(symbols, entry->value - 1);
	if (!name)
		return NULL;
	char *plus = strrchr(name, '+');
	uint64_t offset = g_ascii_strtoull(plus + 1, NULL, 16) + 1;

	*plus = '\0';
	return g_strdup_printf("%s+0x%lx", name, offset);
}

static const ShadowStackEntry *entry_at(const Backtrace *backtrace, guint index)
{
	return &g_array_index(backtrace->frames, ShadowStackEntry, index);
}

json_object *backtrace_to_json(const Backtrace *backtrace, Symbols *symbols)
{
	json_object *json = json_object_new_object(), *frames = json_object_new_array();
	json_object *end = json_object_new_object();

	json_object_object_add(json, "id", json_object_new_int64(backtrace->vcpu));
	json_object_object_add(json, "cpl", json_object_new_int64(backtrace->cpl));
	json_object_object_add(json, "from",
			       json_object_new_string(cet_registers[backtrace->from].name));
	json_object_object_add(json, "ssp", json_hex(backtrace->ssp));
	for (guint i = 0; i < backtrace->frames->len; i++) {
		const ShadowStackEntry *entry = entry_at(backtrace, i);
		g_autofree char *symbol = name_of(entry, symbols);
		json_object *frame = json_object_new_object();

		json_object_object_add(frame, "at", json_hex(entry->at));
		json_object_object_add(frame, "value", json_hex(entry->value));
		json_object_object_add(frame, "kind",
				       json_object_new_string(shadow_stack_kind_name(entry->kind)));
		if (symbol)
			json_object_object_add(frame, "symbol", json_object_new_string(symbol));
		json_object_array_add(frames, frame);
	}
	json_object_object_add(json, "frames", frames);
	json_object_object_add(end, "reason",
			       json_object_new_string(shadow_stack_end_name(backtrace->end)));
	json_object_object_add(end, "at", json_hex(backtrace->end_at));
	json_object_object_add(json, "end", end);
	return json;
}

static bool read_word(json_object *json, const char *key, const char *(*name)(unsigned), unsigned n,
		      unsigned *ret_value)
{
	const char *word = json_object_get_string(json_object_object_get(json, key));

	for (unsigned i = 0; word && i < n; i++)
		if (strcmp(word, name(i)) == 0) {
			*ret_value = i;
			return true;
		}
	return false;
}

static const char *kind_name(unsigned kind)
{
	return shadow_stack_kind_name((ShadowStackKind)kind);
}

static const char *end_name(unsigned end)
{
	return shadow_stack_end_name((ShadowStackEnd)end);
}

static const char *register_name(unsigned index)
{
	return cet_registers[index].name;
}

static bool read_frames(json_object *frames, GArray *ret_frames)
{
	if (!json_object_is_type(frames, json_type_array) ||
	    json_object_array_length(frames) > BACKTRACE_MAX)
		return false;
	for (size_t i = 0; i < json_object_array_length(frames); i++) {
		json_object *frame = json_object_array_get_idx(frames, i);
		ShadowStackEntry entry;
		unsigned kind;

		if (!json_object_is_type(frame, json_type_object) ||
		    !json_hex_get(frame, "at", &entry.at) ||
		    !json_hex_get(frame, "value", &entry.value) ||
		    !read_word(frame, "kind", kind_name, SHADOW_STACK_UNKNOWN + 1, &kind))
			return false;
		entry.kind = (ShadowStackKind)kind;
		g_array_append_val(ret_frames, entry);
	}
	return true;
}

Backtrace *backtrace_from_json(json_object *json, GError **error)
{
	g_autoptr(Backtrace) backtrace = backtrace_create();
	json_object *end = json_object_is_type(json, json_type_object)
				   ? json_object_object_get(json, "end")
				   : NULL;
	unsigned from, reason;

	if (!json_object_is_type(end, json_type_object) ||
	    !json_read_number(json, "id", UINT16_MAX, &backtrace->vcpu) ||
	    !json_read_number(json, "cpl", 3, &backtrace->cpl) ||
	    !read_word(json, "from", register_name, CET_N_REGS, &from) ||
	    !json_hex_get(json, "ssp", &backtrace->ssp) ||
	    !read_frames(json_object_object_get(json, "frames"), backtrace->frames) ||
	    !read_word(end, "reason", end_name, SHADOW_STACK_END_NONE_HERE + 1, &reason) ||
	    !json_hex_get(end, "at", &backtrace->end_at)) {
		umbra_fail(error, UMBRA_ERROR_INPUT, "the guest's answer is no backtrace");
		return NULL;
	}
	backtrace->from = (CetReg)from;
	backtrace->end = (ShadowStackEnd)reason;
	return g_steal_pointer(&backtrace);
}

char *backtrace_to_text(const Backtrace *backtrace, Symbols *symbols)
{
	GString *text = g_string_new(NULL);

	g_string_append_printf(text, "vcpu %u, ring %u, %s = 0x%016lx\n", backtrace->vcpu,
			       backtrace->cpl, cet_registers[backtrace->from].name, backtrace->ssp);
	for (guint i = 0; i < backtrace->frames->len; i++) {
		const ShadowStackEntry *entry = entry_at(backtrace, i);
		g_autofree char *symbol = name_of(entry, symbols);

		g_string_append_printf(text, "  #%-4u 0x%016lx  0x%016lx  %s\n", i, entry->at,
				       entry->value,
				       symbol ? symbol : shadow_stack_kind_name(entry->kind));
	}
	g_string_append_printf(text, "  at    0x%016lx  %s\n", backtrace->end_at,
			       shadow_stack_end_text(backtrace->end));
	return g_string_free(text, FALSE);
}
