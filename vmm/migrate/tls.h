// SPDX-License-Identifier: MIT
/*
 * TLS over TCP. It is spoken by a process of its own, umbra-tls, that relays
 * between the network and one end of a socket pair (vmm/tls/relay.h tells how it
 * treats ends, cuts and a caller who is gone). docs/tls.md tells what is checked.
 */
#ifndef UMBRA_MIGRATE_TLS_H
#define UMBRA_MIGRATE_TLS_H

#include <glib.h>
#include <stdbool.h>

/*
 * Both return a connected stream socket (close-on-exec, blocking) on which plain
 * bytes go to and come from a peer whose certificate has been checked, and who
 * has checked ours; or -1. They block, for some 10 seconds at most: call them from
 * a thread that may wait.
 *
 * Closing the socket ends the helper; what was written before still arrives. An
 * end of file tells nothing about why: a stream needs an end mark of its own.
 *
 * `dir` holds ca-cert.pem, client-cert.pem and client-key.pem or server-cert.pem
 * and server-key.pem. Errors are UMBRA_ERROR_FAILED and name the peer and what is
 * wrong with it, or the file; UMBRA_ERROR_UNSUPPORTED: umbra-tls is not there;
 * UMBRA_ERROR_USAGE: `dir` is NULL.
 */
int tls_connect(const char *host, const char *port, const char *dir, GError **error);

/*
 * Before one listens: are the server's files there? What is in them is looked at for each
 * connection, since they may be renewed meanwhile.
 */
bool tls_can_serve(const char *dir, GError **error);

/* The server's side of `tcp_fd`, an accepted connection, which is taken over. */
int tls_serve(int tcp_fd, const char *dir, GError **error);

#endif
