// SPDX-License-Identifier: MIT
/*
 * A QMP server: QEMU's monitor protocol (docs/interop/qmp-spec.rst), so that
 * its clients work unchanged. It knows the protocol and no guest: commands come
 * in tables from those who implement them (guest.h has the usual ones).
 *
 * Everything happens in the thread of the default main context and none of it
 * blocks. Any number of clients up to CONTROL_CLIENTS_MAX; what one of them
 * does wrong is told to that one and touches nobody else:
 *
 *   garbage, a wrong request    an error; the connection goes on
 *   a request over 64 KiB       an error, then the connection is closed
 *   half a request, silence     its bytes are kept, nothing waits for it
 *   reads none of its replies   its requests wait; when events pile up, it is closed
 */
#ifndef UMBRA_CONTROL_SERVER_H
#define UMBRA_CONTROL_SERVER_H

#include "control/qmp.h"

#define CONTROL_CLIENTS_MAX 256

typedef struct ControlServer ControlServer;

ControlServer *control_server_create(void);

/* Removes its sockets, then sends what can be sent at once, then closes. Accepts NULL. */
void control_server_destroy(ControlServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ControlServer, control_server_destroy)

/* Adds commands, which are called with `owner`. The table stays the caller's. */
void control_server_add_commands(ControlServer *server, const QmpCommand *commands, unsigned n,
				 void *owner);

/* Takes a table away again. */
void control_server_remove_commands(ControlServer *server, const QmpCommand *commands);

/* Makes a socket at `path` (socket.h has the rules) and serves who connects to it. */
bool control_server_listen(ControlServer *server, const char *path, GError **error);

/* Serves the peer of a connected stream socket, which it takes over. */
void control_server_serve(ControlServer *server, int fd);

/* Tells an event to every client that has negotiated. Takes over `data`, which may be NULL. */
void control_server_event(ControlServer *server, const char *name, json_object *data);

#endif
