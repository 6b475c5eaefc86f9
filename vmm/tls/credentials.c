// SPDX-License-Identifier: MIT
#include "tls/credentials.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20) /* of text; a long chain has some ten thousand bytes */

static const char *const role_names[] = {
	[ROLE_CLIENT] = "client",
	[ROLE_SERVER] = "server",
};

static const char *const role_purposes[] = {
	[ROLE_CLIENT] = G_TLS_DATABASE_PURPOSE_AUTHENTICATE_CLIENT,
	[ROLE_SERVER] = G_TLS_DATABASE_PURPOSE_AUTHENTICATE_SERVER,
};

/* The order is that of the messages: of several faults the first is told. */
static const struct {
	GTlsCertificateFlags flag;
	const char *text;
} faults[] = {
	{G_TLS_CERTIFICATE_UNKNOWN_CA, "is not signed by the CA in ca-cert.pem"},
	{G_TLS_CERTIFICATE_REVOKED, "has been revoked"},
	{G_TLS_CERTIFICATE_EXPIRED, "has expired, or its CA's has"},
	{G_TLS_CERTIFICATE_NOT_ACTIVATED, "is not valid yet"},
	{G_TLS_CERTIFICATE_INSECURE, "uses an algorithm or a key that is too weak"},
	{G_TLS_CERTIFICATE_BAD_IDENTITY, "is for another host name"},
};

const char *credentials_fault(GTlsCertificateFlags flags)
{
	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++)
		if (flags & faults[i].flag)
			return faults[i].text;
	return "cannot be verified, or is for another purpose";
}

/* Everything is asked of the open file, so that nobody can change it in between. */
static char *read_open_file(int fd, const char *path, bool secret, GError **error)
{
	struct stat status;

	if (fstat(fd, &status) < 0) {
		umbra_fail_errno(error, errno, "%s", path);
		return NULL;
	}
	if (!S_ISREG(status.st_mode)) {
		umbra_fail(error, UMBRA_ERROR_USAGE, "%s: is no regular file", path);
		return NULL;
	}
	if (secret && status.st_mode & (S_IRWXG | S_IRWXO)) {
		umbra_fail(error, UMBRA_ERROR_USAGE,
			   "%s: others than the owner may use this private key (mode %04o): make "
			   "it 0600",
			   path, status.st_mode & 07777u);
		return NULL;
	}
	g_autoptr(GByteArray) text = g_byte_array_new();
	uint8_t block[4096];
	ssize_t n = 0;

	while (text->len < FILE_MAX && (n = read(fd, block, sizeof(block))) > 0)
		g_byte_array_append(text, block, (guint)n);
	if (n < 0) {
		umbra_fail_errno(error, errno, "%s", path);
		return NULL;
	}
	if (text->len >= FILE_MAX) {
		umbra_fail(error, UMBRA_ERROR_USAGE, "%s: is too large for a PEM file", path);
		return NULL;
	}
	g_byte_array_append(text, (const guint8 *)"\n", 2); /* and the string's end */
	return (char *)g_byte_array_free(g_steal_pointer(&text), FALSE);
}

static char *read_file(const char *path, bool secret, GError **error)
{
	/* Not blocking, in case it is a pipe that nobody writes to. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		umbra_fail_errno(error, errno, "%s", path);
		return NULL;
	}
	char *text = read_open_file(fd, path, secret, error);

	close(fd);
	return text;
}

static GTlsCertificate *load_own(const char *cert_path, const char *key_path, GError **error)
{
	g_autofree char *cert = read_file(cert_path, false, error);
	g_autofree char *key = cert ? read_file(key_path, true, error) : NULL;

	if (!key)
		return NULL;
	g_autofree char *both = g_strconcat(cert, key, NULL);
	g_autoptr(GError) failed = NULL;
	g_autoptr(GTlsCertificate) own = g_tls_certificate_new_from_pem(both, -1, &failed);
	g_autoptr(GByteArray) found = NULL;

	/* A certificate without a key is fine with GIO. */
	if (own)
		g_object_get(own, "private-key", &found, NULL);
	if (found)
		return g_steal_pointer(&own);
	umbra_fail(error, UMBRA_ERROR_USAGE,
		   "%s with %s: %s (wanted: PEM, the key without a passphrase)", cert_path,
		   key_path, failed ? failed->message : "no private key found");
	return NULL;
}

static bool check_own(const Credentials *c, const char *cert_path, Role role, GError **error)
{
	g_autoptr(GError) failed = NULL;
	GTlsCertificateFlags flags =
		g_tls_database_verify_chain(c->trusted, c->own, role_purposes[role], NULL, NULL,
					    G_TLS_DATABASE_VERIFY_NONE, NULL, &failed);

	if (failed)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: %s", cert_path, failed->message);
	if (flags)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: this certificate %s", cert_path,
				  credentials_fault(flags));
	return true;
}

static GTlsDatabase *load_trusted(const char *path, GError **error)
{
	/* GIO takes a file without a certificate for an empty list: ask first, for the message. */
	g_autofree char *text = read_file(path, false, error);

	if (!text)
		return NULL;
	g_autoptr(GError) failed = NULL;
	g_autoptr(GTlsCertificate) first = g_tls_certificate_new_from_pem(text, -1, &failed);
	GTlsDatabase *trusted = first ? g_tls_file_database_new(path, &failed) : NULL;

	if (!trusted)
		umbra_fail(error, UMBRA_ERROR_USAGE, "%s: %s", path, failed->message);
	return trusted;
}

bool credentials_load(const char *dir, Role role, Credentials *ret, GError **error)
{
	/* GIO makes an empty list of a relative path, and says so on stderr only. */
	g_autofree char *whole = g_canonicalize_filename(dir, NULL);
	g_autofree char *ca_path = g_strdup_printf("%s/ca-cert.pem", whole);
	g_autofree char *cert_path = g_strdup_printf("%s/%s-cert.pem", whole, role_names[role]);
	g_autofree char *key_path = g_strdup_printf("%s/%s-key.pem", whole, role_names[role]);

	*ret = (Credentials){.trusted = load_trusted(ca_path, error)};
	if (ret->trusted)
		ret->own = load_own(cert_path, key_path, error);
	if (ret->own && check_own(ret, cert_path, role, error))
		return true;
	credentials_finish(ret);
	return false;
}

void credentials_finish(Credentials *credentials)
{
	g_clear_object(&credentials->own);
	g_clear_object(&credentials->trusted);
}
