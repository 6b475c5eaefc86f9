// SPDX-License-Identifier: MIT
#include "control/qmp.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* No command is nested deeper than four; json-c would go as deep as it is told. */
#define NESTING_MAX 32

static json_object *parse_text(const char *text, size_t length, GError **error)
{
	g_autoptr(json_tokener) tokener = json_tokener_new_ex(NESTING_MAX);

	if (!g_utf8_validate_len(text, length, NULL)) {
		umbra_fail(error, UMBRA_ERROR_INPUT, "Invalid JSON syntax: not UTF-8");
		return NULL;
	}
	g_autoptr(json_object) value = json_tokener_parse_ex(tokener, text, (int)length);
	enum json_tokener_error failed = json_tokener_get_error(tokener);

	/* Brackets that match by number but not by kind leave the parser wanting or with a rest. */
	if (failed != json_tokener_success || json_tokener_get_parse_end(tokener) != length) {
		umbra_fail(error, UMBRA_ERROR_INPUT, "Invalid JSON syntax: %s",
			   failed == json_tokener_success || failed == json_tokener_continue
				   ? "brackets do not match"
				   : json_tokener_error_desc(failed));
		return NULL;
	}
	return g_steal_pointer(&value);
}

static bool take_member(QmpRequest *request, const char *name, json_object *value, GError **error)
{
	if (strcmp(name, "id") == 0)
		return true; /* has been taken first, so that errors carry it */
	if (strcmp(name, "execute") == 0) {
		if (!json_object_is_type(value, json_type_string))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "QMP input member 'execute' must be a string");
		request->command = json_object_get_string(value);
		return true;
	}
	if (strcmp(name, "arguments") == 0) {
		if (!json_object_is_type(value, json_type_object))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "QMP input member 'arguments' must be an object");
		request->arguments = value;
		return true;
	}
	return umbra_fail(error, UMBRA_ERROR_INPUT, "QMP input member '%s' is unexpected", name);
}

bool qmp_request_parse(const char *text, size_t length, QmpRequest *ret_request, GError **error)
{
	*ret_request = (QmpRequest){.message = parse_text(text, length, error)};
	if (!ret_request->message)
		return false;
	if (!json_object_is_type(ret_request->message, json_type_object))
		return umbra_fail(error, UMBRA_ERROR_INPUT, "QMP input must be a JSON object");
	ret_request->has_id =
		json_object_object_get_ex(ret_request->message, "id", &ret_request->id);
	json_object_object_foreach(ret_request->message, name, value)
	{
		if (!take_member(ret_request, name, value, error))
			return false;
	}
	if (!ret_request->command)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "QMP input lacks member 'execute'");
	if (!ret_request->arguments) {
		ret_request->arguments = json_object_new_object();
		json_object_object_add(ret_request->message, "arguments", ret_request->arguments);
	}
	return true;
}

void qmp_request_finish(QmpRequest *request)
{
	json_object_put(request->message);
	*request = (QmpRequest){0};
}

static const QmpArgument *find_argument(const QmpCommand *command, const char *name)
{
	for (unsigned i = 0; i < QMP_ARGUMENTS_MAX && command->arguments[i].name; i++)
		if (strcmp(command->arguments[i].name, name) == 0)
			return &command->arguments[i];
	return NULL;
}

bool qmp_check_arguments(const QmpCommand *command, json_object *arguments, GError **error)
{
	json_object_object_foreach(arguments, name, value)
	{
		const QmpArgument *argument = find_argument(command, name);

		if (!argument)
			return umbra_fail(error, UMBRA_ERROR_INPUT, "Parameter '%s' is unexpected",
					  name);
		if (!json_object_is_type(value, argument->type))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "Invalid parameter type for '%s', expected: %s", name,
					  json_type_to_name(argument->type));
	}
	for (unsigned i = 0; i < QMP_ARGUMENTS_MAX && command->arguments[i].name; i++) {
		const QmpArgument *argument = &command->arguments[i];

		if (!argument->optional &&
		    !json_object_object_get_ex(arguments, argument->name, NULL))
			return umbra_fail(error, UMBRA_ERROR_INPUT, "Parameter '%s' is missing",
					  argument->name);
	}
	return true;
}

json_object *qmp_version(void)
{
	json_object *version = json_object_new_object(), *numbers = json_object_new_object();
	int major = 0, minor = 0, micro = 0;

	sscanf(UMBRA_VERSION, "%d.%d.%d", &major, &minor, &micro);
	json_object_object_add(numbers, "micro", json_object_new_int(micro));
	json_object_object_add(numbers, "minor", json_object_new_int(minor));
	json_object_object_add(numbers, "major", json_object_new_int(major));
	/* The key is QMP's; that this is another program is said by the package. */
	json_object_object_add(version, "qemu", numbers);
	json_object_object_add(version, "package", json_object_new_string("umbra " UMBRA_VERSION));
	return version;
}

/* Takes over `message`. */
static char *to_line(json_object *message)
{
	g_autoptr(json_object) owned = message;

	return g_strconcat(json_object_to_json_string_ext(
				   owned, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			   "\r\n", NULL);
}

static void add_id(json_object *message, const QmpRequest *request)
{
	if (request && request->has_id)
		json_object_object_add(message, "id", json_object_get(request->id));
}

char *qmp_greeting(void)
{
	json_object *message = json_object_new_object(), *greeting = json_object_new_object();

	json_object_object_add(greeting, "version", qmp_version());
	/* Never "oob": clients that know it turn it on, and then expect what is not there. */
	json_object_object_add(greeting, "capabilities", json_object_new_array());
	json_object_object_add(message, "QMP", greeting);
	return to_line(message);
}

char *qmp_return(const QmpRequest *request, json_object *value)
{
	json_object *message = json_object_new_object();

	json_object_object_add(message, "return", value ? value : json_object_new_object());
	add_id(message, request);
	return to_line(message);
}

char *qmp_error(const QmpRequest *request, const char *class, const char *description)
{
	json_object *message = json_object_new_object(), *error = json_object_new_object();
	/* A description may quote a file's name, which may be any bytes. */
	g_autofree char *valid = g_utf8_make_valid(description, -1);

	json_object_object_add(error, "class", json_object_new_string(class));
	json_object_object_add(error, "desc", json_object_new_string(valid));
	json_object_object_add(message, "error", error);
	add_id(message, request);
	return to_line(message);
}

char *qmp_event(const char *name, json_object *data)
{
	json_object *message = json_object_new_object(), *timestamp = json_object_new_object();
	gint64 now = g_get_real_time();

	json_object_object_add(timestamp, "seconds", json_object_new_int64(now / G_USEC_PER_SEC));
	json_object_object_add(timestamp, "microseconds",
			       json_object_new_int64(now % G_USEC_PER_SEC));
	json_object_object_add(message, "event", json_object_new_string(name));
	if (data)
		json_object_object_add(message, "data", data);
	json_object_object_add(message, "timestamp", timestamp);
	return to_line(message);
}
