// SPDX-License-Identifier: MIT
/*
 * QMP clients on socket pairs, in the server's own thread: a Unix socket hands
 * bytes over at once, so when the main context has nothing left to do, all that
 * the server is going to say has been said.
 */
#ifndef UMBRA_TESTS_CONTROL_FIXTURE_H
#define UMBRA_TESTS_CONTROL_FIXTURE_H

#include "control/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

/* A client that has not read its greeting yet. */
static inline int raw_client(ControlServer *server)
{
	int ends[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
			==, 0);
	control_server_serve(server, ends[1]);
	return ends[0];
}

/* What there is to read, NULL if the server has closed the connection. */
static inline char *receive(int client)
{
	GString *text = g_string_new(NULL);
	char bytes[4096];
	ssize_t n;

	while ((n = recv(client, bytes, sizeof(bytes), 0)) > 0)
		g_string_append_len(text, bytes, n);
	if (text->len == 0 && (n == 0 || errno != EAGAIN))
		return g_string_free(text, TRUE);
	return g_string_free(text, FALSE);
}

static inline void send_bytes(int client, const char *bytes, size_t length)
{
	g_assert_cmpint(send(client, bytes, length, MSG_NOSIGNAL), ==, (gssize)length);
}

/* Sends, lets the server work, and gives its answer. */
static inline char *ask(int client, const char *text)
{
	send_bytes(client, text, strlen(text));
	settle();
	return receive(client);
}

static inline int negotiated_client(ControlServer *server)
{
	int client = raw_client(server);
	g_autofree char *greeting = receive(client);

	g_assert_nonnull(greeting);
	g_autofree char *answer = ask(client, "{\"execute\":\"qmp_capabilities\"}");

	g_assert_cmpstr(answer, ==, "{\"return\":{}}\r\n");
	return client;
}

#define assert_answer(client, request, expected)                      \
	do {                                                          \
		g_autofree char *answered = ask((client), (request)); \
		g_assert_cmpstr(answered, ==, expected "\r\n");       \
	} while (0)

#define GENERIC_ERROR(text) "{\"error\":{\"class\":\"GenericError\",\"desc\":\"" text "\"}}"
#define NOT_FOUND(text)	    "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"" text "\"}}"

#endif
