// SPDX-License-Identifier: MIT
#include "control/server.h"

#include "base/error.h"
#include "control/connection.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long new clients wait if the process has run out of files. */
#define ACCEPT_AGAIN_SECONDS 1

typedef struct CommandTable {
	const QmpCommand *commands;
	unsigned n;
	void *owner;
} CommandTable;

typedef struct Listener {
	ControlServer *server;
	UnixSocket socket;
	guint watch; /* of the socket, or the timer until it is watched again */
} Listener;

struct ControlServer {
	GArray *tables;
	GPtrArray *listeners;
	GPtrArray *connections;
};

static bool query_version(void *owner, json_object *arguments, json_object **ret_value,
			  GError **error)
{
	(void)owner, (void)arguments, (void)error;
	*ret_value = qmp_version();
	return true;
}

static void list_command(json_object *list, const char *name)
{
	json_object *row = json_object_new_object();

	json_object_object_add(row, "name", json_object_new_string(name));
	json_object_array_add(list, row);
}

static bool query_commands(void *owner, json_object *arguments, json_object **ret_value,
			   GError **error)
{
	const ControlServer *server = owner;

	(void)arguments, (void)error;
	*ret_value = json_object_new_array();
	list_command(*ret_value, "qmp_capabilities");
	for (guint i = 0; i < server->tables->len; i++) {
		const CommandTable *table = &g_array_index(server->tables, CommandTable, i);

		for (unsigned j = 0; j < table->n; j++)
			list_command(*ret_value, table->commands[j].name);
	}
	return true;
}

static const QmpCommand protocol_commands[] = {
	{.name = "query-version", .run = query_version},
	{.name = "query-commands", .run = query_commands},
};

static const QmpCommand *find_command(void *owner, const char *name, void **ret_command_owner)
{
	const ControlServer *server = owner;

	for (guint i = 0; i < server->tables->len; i++) {
		const CommandTable *table = &g_array_index(server->tables, CommandTable, i);

		for (unsigned j = 0; j < table->n; j++)
			if (strcmp(table->commands[j].name, name) == 0) {
				*ret_command_owner = table->owner;
				return &table->commands[j];
			}
	}
	return NULL;
}

static void connection_ended(void *owner, Connection *connection)
{
	ControlServer *server = owner;

	g_ptr_array_remove_fast(server->connections, connection); /* destroys it */
}

void control_server_serve(ControlServer *server, int fd)
{
	ConnectionSinks sinks = {
		.find = find_command,
		.ended = connection_ended,
		.owner = server,
	};

	g_ptr_array_add(server->connections, connection_create(fd, &sinks));
}

static void refuse(int fd)
{
	g_autofree char *line =
		qmp_error(NULL, QMP_GENERIC_ERROR, "Too many clients; closing the connection");

	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static gboolean on_client(int fd, GIOCondition condition, void *owner);

static gboolean watch_again(void *owner)
{
	Listener *listener = owner;

	listener->watch = g_unix_fd_add(listener->socket.fd, G_IO_IN, on_client, listener);
	return G_SOURCE_REMOVE;
}

static gboolean on_client(int fd, GIOCondition condition, void *owner)
{
	Listener *listener = owner;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)condition;
	if (client < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return G_SOURCE_CONTINUE;
		/* Out of files: the client stays in the queue. Do not spin on it. */
		listener->watch =
			g_timeout_add_seconds(ACCEPT_AGAIN_SECONDS, watch_again, listener);
		return G_SOURCE_REMOVE;
	}
	if (listener->server->connections->len >= CONTROL_CLIENTS_MAX)
		refuse(client);
	else
		control_server_serve(listener->server, client);
	return G_SOURCE_CONTINUE;
}

bool control_server_listen(ControlServer *server, const char *path, GError **error)
{
	UnixSocket made;

	if (!unix_socket_listen(path, &made, error))
		return false;
	Listener *listener = g_new0(Listener, 1);

	listener->server = server;
	listener->socket = made;
	watch_again(listener);
	g_ptr_array_add(server->listeners, listener);
	return true;
}

static void listener_destroy(void *argument)
{
	Listener *listener = argument;

	g_clear_handle_id(&listener->watch, g_source_remove);
	unix_socket_close(&listener->socket);
	g_free(listener);
}

void control_server_add_commands(ControlServer *server, const QmpCommand *commands, unsigned n,
				 void *owner)
{
	CommandTable table = {.commands = commands, .n = n, .owner = owner};

	g_array_append_val(server->tables, table);
}

void control_server_remove_commands(ControlServer *server, const QmpCommand *commands)
{
	for (guint i = 0; i < server->tables->len; i++)
		if (g_array_index(server->tables, CommandTable, i).commands == commands) {
			g_array_remove_index(server->tables, i);
			return;
		}
}

void control_server_event(ControlServer *server, const char *name, json_object *data)
{
	g_autofree char *line = qmp_event(name, data);

	for (guint i = 0; i < server->connections->len; i++)
		connection_send_event(g_ptr_array_index(server->connections, i), line);
}

ControlServer *control_server_create(void)
{
	ControlServer *server = g_new0(ControlServer, 1);

	server->tables = g_array_new(FALSE, FALSE, sizeof(CommandTable));
	server->listeners = g_ptr_array_new_with_free_func(listener_destroy);
	server->connections =
		g_ptr_array_new_with_free_func((GDestroyNotify)(void (*)(void))connection_destroy);
	control_server_add_commands(server, protocol_commands, G_N_ELEMENTS(protocol_commands),
				    server);
	return server;
}

void control_server_destroy(ControlServer *server)
{
	if (!server)
		return;
	/* Names first: who sees its connection end finds the guest gone by name as well. */
	g_ptr_array_free(server->listeners, TRUE);
	g_ptr_array_free(server->connections, TRUE);
	g_array_free(server->tables, TRUE);
	g_free(server);
}
