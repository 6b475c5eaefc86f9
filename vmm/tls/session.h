// SPDX-License-Identifier: MIT
/*
 * From a TCP connection to one of which both sides know who is at the other end.
 *
 * TLS 1.3, because it is the only version that both ends of this program need,
 * and because its halves close one by one. In TLS 1.3 a client has finished
 * before the server has looked at its certificate. So the server says a line of
 * its own once it has, and the client waits for it: what fails later than that
 * is no matter of certificates.
 */
#ifndef UMBRA_TLS_SESSION_H
#define UMBRA_TLS_SESSION_H

#include <gio/gio.h>
#include <stdbool.h>

#include "tls/credentials.h"
#include "tls/setup.h"

typedef struct Session {
	GSocketConnection *tcp;
	GTlsConnection *tls;
} Session;

/* Must come before anything else that uses GIO's TLS: it fixes the version. */
bool session_prepare(GError **error);

/*
 * Both block for as long as it takes; `setup` sets the limit. `peer` begins each
 * message, which says which of the things went wrong: not TLS, too old, no
 * certificate, and what is the matter with a certificate.
 */
bool session_connect(Setup *setup, const char *host, guint16 port, const char *peer,
		     const Credentials *credentials, Session *ret, GError **error);
/* `fd` is taken over. */
bool session_serve(Setup *setup, int fd, const char *peer, const Credentials *credentials,
		   Session *ret, GError **error);

#endif
