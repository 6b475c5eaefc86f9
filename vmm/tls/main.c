// SPDX-License-Identifier: MIT
/*
 * umbra-tls: TLS for umbra, which is linked statically and so cannot load any.
 * umbra starts it with one end of a socket pair, and writes and reads plain bytes
 * at the other (migrate/tls.c). The walk: options; credentials; a connection of
 * which both sides know the other; one word about it on stdout (setup.h); bytes,
 * until both directions have ended. docs/tls.md tells what is checked.
 */
#include "base/error.h"
#include "base/parse.h"
#include "tls/credentials.h"
#include "tls/relay.h"
#include "tls/session.h"
#include "tls/setup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATUS_TROUBLE 2
#define FD_MAX	       1000000

typedef struct Options {
	Role role;
	char *dir;
	const char *host; /* client */
	guint16 port;
	int tcp; /* server */
	int plain;
	char *peer; /* for messages */
} Options;

static const char summary[] =
	"  umbra-tls connect HOST PORT --dir DIR FD   TLS to a server, FD carries plain bytes\n"
	"  umbra-tls serve TCP-FD --dir DIR FD        the same for a connection that was accepted\n"
	"\n"
	"umbra starts this program. It prints \"ok\", or \"error: \" and why, in one line.";

static bool parse_fd(const char *what, const char *text, int *ret, GError **error)
{
	uint64_t number = 0;
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (!parse_uint(what, text, 3, FD_MAX, &number, error))
		return false;
	*ret = (int)number;
	if (getsockname(*ret, (struct sockaddr *)&address, &length) < 0)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s %s is no socket", what, text);
	return true;
}

static char *name_of_peer(int tcp)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	char text[INET6_ADDRSTRLEN];

	if (getpeername(tcp, (struct sockaddr *)&address, &length) == 0) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;

		if (address.ss_family == AF_INET &&
		    inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text)))
			return g_strdup_printf("%s:%u", text, ntohs(four->sin_port));
		if (address.ss_family == AF_INET6 &&
		    inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text)))
			return g_strdup_printf("[%s]:%u", text, ntohs(six->sin6_port));
	}
	return g_strdup("the client");
}

static bool parse_words(int count, char **words, Options *ret, GError **error)
{
	uint64_t port = 0;

	if (count == 4 && strcmp(words[0], "connect") == 0) {
		ret->role = ROLE_CLIENT;
		ret->host = words[1];
		if (!parse_uint("port", words[2], 1, 65535, &port, error) ||
		    !parse_fd("FD", words[3], &ret->plain, error))
			return false;
		ret->port = (guint16)port;
		ret->peer = g_strdup_printf(strchr(ret->host, ':') ? "[%s]:%u" : "%s:%u", ret->host,
					    ret->port);
		return true;
	}
	if (count == 3 && strcmp(words[0], "serve") == 0) {
		ret->role = ROLE_SERVER;
		if (!parse_fd("TCP-FD", words[1], &ret->tcp, error) ||
		    !parse_fd("FD", words[2], &ret->plain, error))
			return false;
		ret->peer = name_of_peer(ret->tcp);
		return true;
	}
	return umbra_fail(error, UMBRA_ERROR_USAGE, "wrong arguments (see umbra-tls --help)");
}

static bool parse_options(int argc, char **argv, Options *ret, GError **error)
{
	const GOptionEntry entries[] = {
		{"dir", 0, 0, G_OPTION_ARG_FILENAME, &ret->dir,
		 "where ca-cert.pem and this side's certificate and key are", "DIR"},
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("WORD…");
	g_autoptr(GError) failed = NULL;

	g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_set_summary(context, summary);
	if (!g_option_context_parse(context, &argc, &argv, &failed))
		return umbra_fail(error, UMBRA_ERROR_USAGE, "%s", failed->message);
	if (!parse_words(argc - 1, argv + 1, ret, error))
		return false;
	if (!ret->dir)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "--dir is missing");
	return true;
}

/* This process holds a private key, and somebody else's memory in clear. */
static void harden(void)
{
	const struct rlimit none = {0, 0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	/* GIO writes to sockets without MSG_NOSIGNAL in places. */
	signal(SIGPIPE, SIG_IGN);
}

static bool open_session(const Options *options, Setup *setup, Session *ret, GError **error)
{
	Credentials credentials;

	*ret = (Session){0};
	if (!session_prepare(error) ||
	    !credentials_load(options->dir, options->role, &credentials, error))
		return false;
	bool done = options->role == ROLE_CLIENT
			    ? session_connect(setup, options->host, options->port, options->peer,
					      &credentials, ret, error)
			    : session_serve(setup, options->tcp, options->peer, &credentials, ret,
					    error);

	credentials_finish(&credentials);
	return done;
}

int main(int argc, char **argv)
{
	Options options = {0};
	Session session;
	g_autoptr(GError) error = NULL;

	harden();
	if (!parse_options(argc, argv, &options, &error)) {
		setup_print_error(error->message);
		_exit(STATUS_TROUBLE);
	}
	Setup *setup = setup_start(options.plain, options.peer);

	if (!open_session(&options, setup, &session, &error))
		setup_failed(setup, error);
	setup_done(setup);
	bool fine = relay_run(options.plain, &session, &error);

	if (!fine)
		fprintf(stderr, "umbra-tls: %s: the connection broke: %s\n", options.peer,
			error->message);
	/* Here and above not exit(): threads may be at work, and nothing is left to be put away. */
	_exit(fine ? EXIT_SUCCESS : STATUS_TROUBLE);
}
