// SPDX-License-Identifier: MIT
/*
 * QMP's messages (QEMU, docs/interop/qmp-spec.rst): what a request must look
 * like, and the text of everything that a server says. Each text is one line
 * and ends in CRLF.
 */
#ifndef UMBRA_CONTROL_QMP_H
#define UMBRA_CONTROL_QMP_H

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

#define QMP_ARGUMENTS_MAX 12

/* What a command takes. */
typedef struct QmpArgument {
	const char *name;
	enum json_type type;
	bool optional;
} QmpArgument;

/*
 * One command. `run` gets arguments of which names, presence and types have
 * been checked; *ret_value is NULL and may stay so for `{}`.
 */
typedef struct QmpCommand {
	const char *name;
	bool (*run)(void *owner, json_object *arguments, json_object **ret_value, GError **error);
	QmpArgument arguments[QMP_ARGUMENTS_MAX]; /* up to the first without a name */
} QmpCommand;

/* The two error classes that QEMU has left. */
#define QMP_GENERIC_ERROR     "GenericError"
#define QMP_COMMAND_NOT_FOUND "CommandNotFound"

typedef struct QmpRequest {
	json_object *message; /* owns the rest */
	const char *command;
	json_object *arguments; /* never NULL */
	json_object *id;	/* NULL: none */
	bool has_id;		/* an id may be null */
} QmpRequest;

/*
 * Parses one request's text. On failure *ret_request holds the id if that much
 * was readable: finish it either way.
 */
bool qmp_request_parse(const char *text, size_t length, QmpRequest *ret_request, GError **error);
void qmp_request_finish(QmpRequest *request);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(QmpRequest, qmp_request_finish)

/* Holds the arguments against the command's row. */
bool qmp_check_arguments(const QmpCommand *command, json_object *arguments, GError **error);

/* {"qemu": {…}, "package": "umbra …"}: query-version's answer and part of the greeting. */
json_object *qmp_version(void);

/* Texts; free with g_free. qmp_return() and qmp_event() take over `value` and `data` (or NULL). */
char *qmp_greeting(void);
char *qmp_return(const QmpRequest *request, json_object *value);
char *qmp_error(const QmpRequest *request, const char *class, const char *description);
char *qmp_event(const char *name, json_object *data);

#endif
