// SPDX-License-Identifier: MIT
/*
 * Bytes between a socket that carries them as they are (the caller's end of it is
 * umbra's) and a TLS connection, both ways at once.
 *
 * The two directions do not wait for each other, and each holds at most one
 * buffer: who does not read is not written to, and then his peer is not read.
 * What ends on one side ends on the other, one direction at a time: the caller's
 * shutdown(SHUT_WR) becomes close_notify, and the peer's close_notify becomes the
 * end of file that the caller reads.
 *
 * When the caller is gone, which includes his death, what he has written still
 * goes out, as it would from a TCP socket, and the relay ends as soon as the
 * peer's host has got it; or after RELAY_LINGER_SECONDS without progress.
 */
#ifndef UMBRA_TLS_RELAY_H
#define UMBRA_TLS_RELAY_H

#include <gio/gio.h>
#include <stdbool.h>

#include "tls/session.h"

#define RELAY_LINGER_SECONDS 5

/*
 * Returns when nothing is left to be relayed. The error is that of the network's
 * side: a connection that was cut, or with which somebody has meddled. What came
 * before it has been handed on. There is none once the caller is gone.
 */
bool relay_run(int plain, const Session *session, GError **error);

#endif
