// SPDX-License-Identifier: MIT
/*
 * What a side shows and what it believes, from a directory with the names that
 * QEMU uses: ca-cert.pem, and server-cert.pem with server-key.pem or
 * client-cert.pem with client-key.pem.
 */
#ifndef UMBRA_TLS_CREDENTIALS_H
#define UMBRA_TLS_CREDENTIALS_H

#include <gio/gio.h>
#include <stdbool.h>

typedef enum Role {
	ROLE_CLIENT,
	ROLE_SERVER,
} Role;

typedef struct Credentials {
	GTlsCertificate *own;
	GTlsDatabase *trusted; /* ca-cert.pem alone: the system's authorities count for nothing */
} Credentials;

/*
 * Refuses what the other side would refuse anyway (expired, of another CA),
 * because here is where it can be mended; and a key that others than its owner
 * can read. The message names the file.
 */
bool credentials_load(const char *dir, Role role, Credentials *ret, GError **error);
void credentials_finish(Credentials *credentials);

/* The worst of `flags`, as the end of a sentence that begins with "the certificate". */
const char *credentials_fault(GTlsCertificateFlags flags);

#endif
