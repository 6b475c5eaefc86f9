// SPDX-License-Identifier: MIT
/*
 * A connection is freed in one place only: the end of on_ready(), its callback
 * from the main loop. A command that runs meanwhile may send events to every
 * connection, this one included, so whatever else finds a reason to end one
 * shuts its socket down, which brings the callback about.
 */
#include "control/connection.h"

#include "base/error.h"
#include "control/framer.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX   (64 * 1024)
#define READ_SIZE     4096
#define OUTPUT_ENOUGH (64 * 1024)   /* unread replies, above which no request is taken */
#define OUTPUT_MAX    (1024 * 1024) /* unread text (one long reply apart), above which we give up */

struct Connection {
	int fd;
	ConnectionSinks sinks;
	guint watch;
	GIOCondition watched;

	Framer input;
	GString *output;
	size_t sent; /* of output */

	bool negotiated;
	bool at_end; /* no more input will come, or is wanted */
	bool broken; /* no output can be sent any more */
};

static gboolean on_ready(int fd, GIOCondition condition, void *owner);

static size_t unsent(const Connection *connection)
{
	return connection->output->len - connection->sent;
}

/* Watches for what can happen next. */
static void watch(Connection *connection)
{
	GIOCondition wanted = 0;

	if (!connection->at_end && unsent(connection) < OUTPUT_ENOUGH)
		wanted |= G_IO_IN;
	if (unsent(connection) > 0)
		wanted |= G_IO_OUT;
	if (connection->watch && wanted == connection->watched)
		return;
	g_clear_handle_id(&connection->watch, g_source_remove);
	connection->watched = wanted;
	connection->watch = g_unix_fd_add(connection->fd, wanted, on_ready, connection);
}

static void give_up(Connection *connection)
{
	connection->broken = true;
	shutdown(connection->fd, SHUT_RDWR);
}

static void flush(Connection *connection)
{
	while (!connection->broken && unsent(connection) > 0) {
		ssize_t n = send(connection->fd, connection->output->str + connection->sent,
				 unsent(connection), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			connection->sent += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			give_up(connection);
	}
	g_string_truncate(connection->output, 0);
	connection->sent = 0;
}

static void send_line(Connection *connection, const char *line)
{
	g_string_erase(connection->output, 0, (gssize)connection->sent);
	connection->sent = 0;
	g_string_append(connection->output, line);
	flush(connection);
}

static void send_error(Connection *connection, const QmpRequest *request, const char *class,
		       const char *description)
{
	g_autofree char *line = qmp_error(request, class, description);

	send_line(connection, line);
}

/* qmp_capabilities is the one command that changes the connection itself. */
static const QmpCommand negotiation = {
	.name = "qmp_capabilities",
	.arguments = {{"enable", json_type_array, true}},
};

static bool negotiate(Connection *connection, const QmpRequest *request, GError **error)
{
	json_object *enable = NULL;

	if (!qmp_check_arguments(&negotiation, request->arguments, error))
		return false;
	json_object_object_get_ex(request->arguments, "enable", &enable);
	if (enable && json_object_array_length(enable) > 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "Capability %s not available",
				  json_object_get_string(json_object_array_get_idx(enable, 0)));
	connection->negotiated = true;
	return true;
}

/* Why a command cannot be had in this state, or NULL. */
static const char *refusal(const Connection *connection, const QmpRequest *request)
{
	bool negotiates = strcmp(request->command, negotiation.name) == 0;

	if (negotiates && connection->negotiated)
		return "Capabilities negotiation is already complete, command ignored";
	if (!negotiates && !connection->negotiated)
		return "Expecting capabilities negotiation with 'qmp_capabilities'";
	return NULL;
}

static bool execute(Connection *connection, const QmpRequest *request, const QmpCommand *command,
		    void *command_owner, json_object **ret_value, GError **error)
{
	if (command == &negotiation)
		return negotiate(connection, request, error);
	return qmp_check_arguments(command, request->arguments, error) &&
	       command->run(command_owner, request->arguments, ret_value, error);
}

static void answer(Connection *connection, const QmpRequest *request)
{
	const char *refused = refusal(connection, request);
	const QmpCommand *command = &negotiation;
	g_autoptr(GError) error = NULL;
	json_object *value = NULL;
	void *owner = NULL;

	if (refused) {
		send_error(connection, request, QMP_COMMAND_NOT_FOUND, refused);
		return;
	}
	if (connection->negotiated)
		command = connection->sinks.find(connection->sinks.owner, request->command, &owner);
	if (!command) {
		g_autofree char *text =
			g_strdup_printf("The command %s has not been found", request->command);

		send_error(connection, request, QMP_COMMAND_NOT_FOUND, text);
		return;
	}
	if (!execute(connection, request, command, owner, &value, &error)) {
		send_error(connection, request, QMP_GENERIC_ERROR, error->message);
		json_object_put(value);
		return;
	}
	g_autofree char *line = qmp_return(request, value);

	send_line(connection, line);
}

static void take_value(Connection *connection, const char *text, size_t length)
{
	g_auto(QmpRequest) request = {0};
	g_autoptr(GError) error = NULL;

	if (qmp_request_parse(text, length, &request, &error))
		answer(connection, &request);
	else
		send_error(connection, &request, QMP_GENERIC_ERROR, error->message);
}

/* Takes one request out of the input; false if there is none. */
static bool take_request(Connection *connection)
{
	const char *text = NULL;
	size_t length = 0;

	switch (framer_next(&connection->input, &text, &length)) {
	case FRAME_NONE:
		return false;
	case FRAME_VALUE:
		take_value(connection, text, length);
		return true;
	case FRAME_GARBAGE:
		send_error(connection, NULL, QMP_GENERIC_ERROR,
			   "Invalid JSON syntax: not a JSON object; dropping the rest of the line");
		return true;
	case FRAME_TOO_LONG:
		send_error(connection, NULL, QMP_GENERIC_ERROR,
			   "Request of more than 65536 bytes; closing the connection");
		framer_finish(&connection->input);
		framer_init(&connection->input, REQUEST_MAX);
		connection->at_end = true;
		return false;
	}
	g_assert_not_reached();
}

static void receive(Connection *connection)
{
	char bytes[READ_SIZE];
	ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		framer_push(&connection->input, bytes, (size_t)n);
	else if (n == 0)
		connection->at_end = true; /* it may still read: what it asked is answered */
	else if (errno != EAGAIN && errno != EINTR)
		give_up(connection);
}

static gboolean on_ready(int fd, GIOCondition condition, void *owner)
{
	Connection *connection = owner;

	(void)fd;
	if (!connection->at_end && condition & (G_IO_IN | G_IO_HUP | G_IO_ERR))
		receive(connection);
	flush(connection);
	while (!connection->broken && unsent(connection) < OUTPUT_ENOUGH)
		if (!take_request(connection))
			break;
	if (connection->broken || (connection->at_end && unsent(connection) == 0)) {
		connection->sinks.ended(connection->sinks.owner, connection);
		return G_SOURCE_REMOVE;
	}
	watch(connection);
	/* watch() may just have replaced the source that called: then this one is gone already. */
	return G_SOURCE_CONTINUE;
}

Connection *connection_create(int fd, const ConnectionSinks *sinks)
{
	Connection *connection = g_new0(Connection, 1);
	g_autofree char *greeting = qmp_greeting();

	connection->fd = fd;
	connection->sinks = *sinks;
	connection->output = g_string_new(NULL);
	framer_init(&connection->input, REQUEST_MAX);
	send_line(connection, greeting);
	watch(connection);
	return connection;
}

void connection_destroy(Connection *connection)
{
	if (!connection)
		return;
	flush(connection);
	g_clear_handle_id(&connection->watch, g_source_remove);
	close(connection->fd);
	framer_finish(&connection->input);
	g_string_free(connection->output, TRUE);
	g_free(connection);
}

void connection_send_event(Connection *connection, const char *line)
{
	if (!connection->negotiated || connection->broken)
		return;
	if (unsent(connection) > OUTPUT_MAX) {
		give_up(connection);
		return;
	}
	send_line(connection, line);
	watch(connection);
}
