// SPDX-License-Identifier: MIT
#include <glib.h>
int tls_connect(const char *host, const char *port, const char *dir, GError **error);
int tls_serve(int tcp_fd, const char *dir, GError **error);
