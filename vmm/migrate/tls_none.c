// SPDX-License-Identifier: MIT
/* Holds the place of tls.c, which brings the transport for tls:. */
#include "migrate/tls.h"

#include "base/error.h"

int tls_connect(const char *host, const char *port, const char *dir, GError **error)
{
	(void)dir;
	umbra_fail(error, UMBRA_ERROR_UNSUPPORTED, "tls:%s:%s: this build has no TLS", host, port);
	return -1;
}

int tls_serve(int tcp_fd, const char *dir, GError **error)
{
	(void)tcp_fd, (void)dir;
	umbra_fail(error, UMBRA_ERROR_UNSUPPORTED, "tls: this build has no TLS");
	return -1;
}
