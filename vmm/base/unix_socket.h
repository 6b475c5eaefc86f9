// SPDX-License-Identifier: MIT
/*
 * Unix sockets by path: making them without taking one away from a live
 * process, and finding out what stands behind one.
 */
#ifndef UMBRA_BASE_UNIX_SOCKET_H
#define UMBRA_BASE_UNIX_SOCKET_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct UnixSocket {
	int fd;
	char *path;
	dev_t device; /* of the name that was made, so that no other is removed */
	ino_t inode;
} UnixSocket;

/*
 * Listens at `path`, mode 0600 from the first moment. What a dead process of
 * ours left behind there is replaced; anything else in the way is an error
 * (UMBRA_ERROR_USAGE): a live socket, another user's, a file of another kind.
 */
bool unix_socket_listen(const char *path, UnixSocket *ret_socket, GError **error);

/* Stops listening and removes the name, if it still is ours. */
void unix_socket_close(UnixSocket *socket);

/* Connects (close-on-exec, not blocking). */
bool unix_socket_connect(const char *path, int *ret_fd, GError **error);

/* Removes `path` if it is a socket of ours behind which nobody listens. */
void unix_socket_remove_stale(const char *path);

/* The process at the other end of a connection, 0 if unknown. */
pid_t unix_socket_peer(int fd);

#endif
