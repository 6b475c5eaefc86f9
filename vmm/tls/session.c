// SPDX-License-Identifier: MIT
#include "tls/session.h"

#include "base/error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* What glib-networking, the backend, gives GnuTLS instead of its own choice. */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3"

/* The server's line. Its number is for what comes after it: bytes, and nothing but. */
static const char greeting[] = "umbra-tls 1\n";
#define GREETING_SIZE (sizeof(greeting) - 1)

/* RFC 8446, 5.1: the content type with which a TLS connection begins. */
#define RECORD_HANDSHAKE 22

bool session_prepare(GError **error)
{
	g_setenv("G_TLS_GNUTLS_PRIORITY", PRIORITY, TRUE);
	if (!g_tls_backend_supports_tls(g_tls_backend_get_default()))
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "GIO has no TLS here: install glib-networking");
	return true;
}

/* Messages are latency: downtime is made of round trips. */
static void send_at_once(GSocketConnection *tcp)
{
	g_socket_set_option(g_socket_connection_get_socket(tcp), IPPROTO_TCP, TCP_NODELAY, 1, NULL);
}

/* A client is asked about faults only, a server about each certificate. */
static gboolean judge(GTlsConnection *tls, GTlsCertificate *certificate, GTlsCertificateFlags flags,
		      gpointer found)
{
	(void)tls;
	(void)certificate;
	*(GTlsCertificateFlags *)found = flags;
	return flags == 0;
}

/* What GIO's words do not say, or say of something else. */
static bool explain(const char *peer, const Session *session, const GError *failed,
		    GTlsCertificateFlags flags, GError **error)
{
	if (flags)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: the peer's certificate %s", peer,
				  credentials_fault(flags));
	if (g_error_matches(failed, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: the peer shows no certificate",
				  peer);
	/* So there was no fault in it. Whether ours or the connection broke, the end is the same.
	 */
	if (g_tls_connection_get_peer_certificate(session->tls))
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: the peer gave up when certificates had been shown (does it "
				  "accept this side's? It knows why): %s",
				  peer, failed->message);
	return umbra_fail(error, UMBRA_ERROR_FAILED,
			  "%s: no TLS 1.3 with this peer (older TLS and plain TCP are refused): %s",
			  peer, failed->message);
}

static bool handshake(Setup *setup, const char *peer, const Credentials *credentials,
		      const Session *session, GError **error)
{
	GTlsCertificateFlags flags = 0;
	g_autoptr(GError) failed = NULL;

	g_tls_connection_set_database(session->tls, credentials->trusted);
	g_tls_connection_set_certificate(session->tls, credentials->own);
	g_signal_connect(session->tls, "accept-certificate", G_CALLBACK(judge), &flags);
	setup_doing(setup, "the TLS handshake was under way");
	if (!g_tls_connection_handshake(session->tls, NULL, &failed))
		return explain(peer, session, failed, flags, error);
	/* Another backend of GIO's would not know of PRIORITY. */
	if (g_tls_connection_get_protocol_version(session->tls) < G_TLS_PROTOCOL_VERSION_TLS_1_3)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: the peer speaks TLS older than 1.3", peer);
	return true;
}

static bool await_greeting(Setup *setup, const char *peer, const Session *session, GError **error)
{
	char line[GREETING_SIZE];
	gsize n = 0;
	g_autoptr(GError) failed = NULL;
	GInputStream *from = g_io_stream_get_input_stream(G_IO_STREAM(session->tls));

	setup_doing(setup, "waiting for the peer to accept this side");
	if (!g_input_stream_read_all(from, line, sizeof(line), &n, NULL, &failed))
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: the peer did not accept this side's certificate (it knows "
				  "why): %s",
				  peer, failed->message);
	if (n != sizeof(line) || memcmp(line, greeting, sizeof(line)) != 0)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: speaks TLS, but is no umbra that fits this one", peer);
	return true;
}

static bool send_greeting(const char *peer, const Session *session, GError **error)
{
	g_autoptr(GError) failed = NULL;
	GOutputStream *to = g_io_stream_get_output_stream(G_IO_STREAM(session->tls));

	if (!g_output_stream_write_all(to, greeting, GREETING_SIZE, NULL, NULL, &failed))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: lost the connection: %s", peer,
				  failed->message);
	return true;
}

bool session_connect(Setup *setup, const char *host, guint16 port, const char *peer,
		     const Credentials *credentials, Session *ret, GError **error)
{
	g_autoptr(GSocketConnectable) address = g_network_address_new(host, port);
	g_autoptr(GSocketClient) client = g_socket_client_new();
	g_autoptr(GError) failed = NULL;

	setup_doing(setup, "connecting");
	/* A guest's memory goes where it is sent, and nowhere else. */
	g_socket_client_set_enable_proxy(client, FALSE);
	ret->tcp = g_socket_client_connect(client, address, NULL, &failed);
	if (!ret->tcp)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: cannot connect: %s", peer,
				  failed->message);
	send_at_once(ret->tcp);
	GIOStream *tls = g_tls_client_connection_new(G_IO_STREAM(ret->tcp), address, &failed);

	if (!tls)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: %s", peer, failed->message);
	ret->tls = G_TLS_CONNECTION(tls);
	return handshake(setup, peer, credentials, ret, error) &&
	       await_greeting(setup, peer, ret, error);
}

/*
 * A peer that speaks something else may be anything, a plain migration above all;
 * GnuTLS would have one message for that and for an old version of TLS.
 */
static bool begins_like_tls(int fd, const char *peer, GError **error)
{
	unsigned char first = 0;
	ssize_t n = 0;

	do {
		n = recv(fd, &first, 1, MSG_PEEK);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return umbra_fail_errno(error, errno, "%s: lost the connection", peer);
	if (n == 0)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: the peer closed the connection without a word", peer);
	if (first != RECORD_HANDSHAKE)
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: the peer does not speak TLS (plain TCP?)", peer);
	return true;
}

bool session_serve(Setup *setup, int fd, const char *peer, const Credentials *credentials,
		   Session *ret, GError **error)
{
	g_autoptr(GError) failed = NULL;
	g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, &failed);

	if (!socket)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s: %s", peer, failed->message);
	setup_doing(setup, "waiting for the peer to speak");
	/* GIO has made it non-blocking for itself. */
	if (!g_socket_condition_wait(socket, G_IO_IN, NULL, &failed))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: %s", peer, failed->message);
	if (!begins_like_tls(fd, peer, error))
		return false;
	ret->tcp = g_socket_connection_factory_create_connection(socket);
	send_at_once(ret->tcp);
	GIOStream *tls =
		g_tls_server_connection_new(G_IO_STREAM(ret->tcp), credentials->own, &failed);

	if (!tls)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: %s", peer, failed->message);
	ret->tls = G_TLS_CONNECTION(tls);
	g_object_set(tls, "authentication-mode", G_TLS_AUTHENTICATION_REQUIRED, NULL);
	return handshake(setup, peer, credentials, ret, error) && send_greeting(peer, ret, error);
}
