// SPDX-License-Identifier: MIT
/* One client of the server. Only server.c includes this. */
#ifndef UMBRA_CONTROL_CONNECTION_H
#define UMBRA_CONTROL_CONNECTION_H

#include "control/qmp.h"

typedef struct Connection Connection;

typedef struct ConnectionSinks {
	/* The command of that name and its owner, or NULL. */
	const QmpCommand *(*find)(void *owner, const char *name, void **ret_command_owner);
	/* The connection has ended; destroy it now. Never called from connection_*() itself. */
	void (*ended)(void *owner, Connection *connection);
	void *owner;
} ConnectionSinks;

/* Greets, and serves from the default main context. Takes over `fd`. */
Connection *connection_create(int fd, const ConnectionSinks *sinks);
/* Sends what can be sent without waiting, and closes. Accepts NULL. */
void connection_destroy(Connection *connection);

/* Sends an event's line, if the client has negotiated. */
void connection_send_event(Connection *connection, const char *line);

#endif
