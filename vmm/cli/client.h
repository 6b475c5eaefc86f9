// SPDX-License-Identifier: MIT
/* A command's connection to a running guest: QMP, one request at a time, in bounded time. */
#ifndef UMBRA_CLI_CLIENT_H
#define UMBRA_CLI_CLIENT_H

#include "base/json.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct Client Client;

/*
 * Connects to TARGET: the path of a socket if it holds a '/', else the name of
 * a guest, else a socket of that name in the current directory. What answers
 * must greet as umbra.
 */
Client *client_open(const char *target, GError **error);
void client_close(Client *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_close)

/*
 * Executes a command and gives what it returned (json_object_put()), NULL on
 * error: UMBRA_ERROR_GONE if the guest has ended. Takes over `arguments`, which
 * may be NULL.
 */
json_object *client_execute(Client *client, const char *command, json_object *arguments,
			    GError **error);

/* From now on events that come between are kept for client_next_event(). */
void client_keep_events(Client *client);
/*
 * The data of the next event of that name (json_object_put()); waits for it as long as it
 * takes. True with NULL: the file descriptor `other_fd` (-1: none) can be read. False: an
 * error, or the guest has ended.
 */
bool client_next_event(Client *client, const char *name, int other_fd, json_object **ret_data,
		       GError **error);

/* Waits, as long as it takes, until the guest has closed the connection: its process is ending. */
bool client_wait_end(Client *client, GError **error);

/* The guest's process; 0 if the kernel does not say. */
pid_t client_pid(const Client *client);

/* umbra COMMAND TARGET where one QMP command does it all. Returns the exit status. */
int client_run_command(int argc, char **argv, const char *description, const char *qmp_command);

#endif
