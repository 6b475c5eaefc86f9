// SPDX-License-Identifier: MIT
/* Clients that come in numbers, send too much, read too little, or leave. */
#include "control_fixture.h"

#define REQUEST "{\"execute\":\"query-version\"}"

#define BIG	"{\"execute\":\"big\",\"arguments\":{\"size\":300000}}"

static ControlServer *server;
static unsigned big_calls;

/* More than a socket takes at once. */
static bool big(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	int size = json_object_get_int(json_object_object_get(arguments, "size"));
	g_autofree char *filler = g_strnfill((gsize)size, 'x');

	(void)owner, (void)error;
	big_calls++;
	*ret_value = json_object_new_string(filler);
	return true;
}

static const QmpCommand commands[] = {
	{.name = "big", .run = big, .arguments = {{"size", json_type_int, false}}},
};

static void assert_served(int client)
{
	g_autofree char *answer = ask(client, REQUEST);

	g_assert_true(g_str_has_prefix(answer, "{\"return\":{\"qemu\":"));
}

static void test_hundred(void)
{
	int clients[100];

	for (unsigned i = 0; i < G_N_ELEMENTS(clients); i++)
		clients[i] = negotiated_client(server);
	/* All ask before any reads. */
	for (unsigned i = 0; i < G_N_ELEMENTS(clients); i++)
		send_bytes(clients[i], REQUEST, strlen(REQUEST));
	settle();
	control_server_event(server, "STOP", NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(clients); i++) {
		g_autofree char *text = receive(clients[i]);

		g_assert_true(g_str_has_prefix(text, "{\"return\":{\"qemu\":"));
		g_assert_nonnull(strstr(text, "\r\n{\"event\":\"STOP\""));
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(clients); i++)
		close(clients[i]);
}

/* 10 MB of one value: refused after 64 KiB, and the sender is let go. */
static void test_endless_value(void)
{
	static const char *const starts[] = {"{\"execute\":\"", "[[[[", "{\"a\":[1,"};
	int other = negotiated_client(server);
	g_autofree char *filler = g_strnfill(4096, '1');

	for (size_t i = 0; i < G_N_ELEMENTS(starts); i++) {
		int client = negotiated_client(server);
		size_t sent = 0;
		ssize_t n = send(client, starts[i], strlen(starts[i]), MSG_NOSIGNAL);

		while (n > 0 && sent < 10 * 1000 * 1000) {
			sent += (size_t)n;
			settle();
			n = send(client, filler, 4096, MSG_NOSIGNAL);
		}
		g_assert_cmpuint(sent, <, 128 * 1024);
		g_autofree char *text = receive(client), *end = receive(client);

		g_assert_cmpstr(text, ==,
				GENERIC_ERROR("Request of more than 65536 bytes; closing the "
					      "connection") "\r\n");
		g_assert_null(end);
		assert_served(other);
		close(client);
	}
	close(other);
}

static void test_half_and_silence(void)
{
	int half = negotiated_client(server), other = negotiated_client(server);

	send_bytes(half, REQUEST, 12);
	settle();
	assert_served(other);
	g_autofree char *silence = receive(half);

	g_assert_cmpstr(silence, ==, "");
	send_bytes(half, &REQUEST[12], strlen(REQUEST) - 12);
	settle();
	g_autofree char *answer = receive(half);

	g_assert_true(g_str_has_prefix(answer, "{\"return\":{\"qemu\":"));
	close(half);
	close(other);
}

/* Gone in the middle of its greeting, a request, an answer. */
static void test_disconnect(void)
{
	int other = negotiated_client(server);

	for (unsigned stage = 0; stage < 4; stage++) {
		int client = stage == 0 ? raw_client(server) : negotiated_client(server);

		if (stage == 1)
			send_bytes(client, REQUEST, 12);
		if (stage >= 2)
			send_bytes(client, REQUEST REQUEST REQUEST, 3 * strlen(REQUEST));
		if (stage == 3)
			settle(); /* answers are on their way */
		close(client);
		settle();
		control_server_event(server, "STOP", NULL);
		settle();
		g_autofree char *event = receive(other);

		g_assert_nonnull(strstr(event, "STOP"));
		assert_served(other);
	}
	close(other);
}

/* Reads all there is, as it comes; the number of lines. */
static unsigned read_lines(int client)
{
	unsigned lines = 0;

	for (;;) {
		g_autofree char *text = receive(client);

		if (!text || text[0] == '\0')
			return lines;
		for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
			lines++;
		settle();
	}
}

/*
 * socat-like: asks, says that it is done, and reads until the end. Among the
 * sizes are some of which the socket takes all but a little.
 */
static void test_half_close(void)
{
	for (unsigned size = 0; size < 500 * 1000; size += 10 * 1000) {
		int client = negotiated_client(server);
		g_autofree char *request =
			g_strdup_printf("{\"execute\":\"big\",\"arguments\":{\"size\":%u}}", size);

		send_bytes(client, request, strlen(request));
		shutdown(client, SHUT_WR);
		big_calls = 0;
		settle();
		g_assert_cmpuint(read_lines(client), ==, 1);
		g_assert_cmpuint(big_calls, ==, 1);
		g_autofree char *end = receive(client);

		g_assert_null(end);
		close(client);
	}
}

/* Answers are made no faster than they are read, and all of them, also after the end. */
static void test_big_answers(void)
{
	int client = negotiated_client(server), other = negotiated_client(server);

	big_calls = 0;
	for (unsigned i = 0; i < 50; i++)
		send_bytes(client, BIG, strlen(BIG));
	shutdown(client, SHUT_WR);
	settle();
	g_assert_cmpuint(big_calls, >=, 1);
	g_assert_cmpuint(big_calls, <=, 2);
	assert_served(other);
	g_assert_cmpuint(read_lines(client), ==, 50);
	g_assert_cmpuint(big_calls, ==, 50);
	g_autofree char *end = receive(client);

	g_assert_null(end);
	close(client);
	close(other);
}

/* Asks without reading: its requests wait in the socket, where they cost nobody anything. */
static void test_asks_without_reading(void)
{
	int client = negotiated_client(server), other = negotiated_client(server);
	unsigned asked = 0, blocked = 0;

	/* Two refusals in a row with the server idle in between: everything is full. */
	while (blocked < 2) {
		ssize_t n = send(client, REQUEST, strlen(REQUEST), MSG_NOSIGNAL);

		/* A stream may take a part: only whole requests make the count below true. */
		g_assert_true(n < 0 || (size_t)n == strlen(REQUEST));
		blocked = n < 0 ? blocked + 1 : 0;
		asked += n > 0;
		if (n < 0)
			settle();
		g_assert_cmpuint(asked, <, 1000 * 1000);
	}
	assert_served(other);
	g_assert_cmpuint(asked, >, 100);
	g_assert_cmpuint(read_lines(client), ==, asked);
	close(client);
	close(other);
}

/* Reads no events: is given up after a bounded amount; who reads misses none. */
static void test_reads_no_events(void)
{
	int sleeper = negotiated_client(server), reader = negotiated_client(server);
	g_autofree char *filler = g_strnfill(1000, 'x');
	unsigned seen = 0;

	for (unsigned i = 0; i < 3000; i++) {
		json_object *data = json_object_new_object();

		json_object_object_add(data, "filler", json_object_new_string(filler));
		control_server_event(server, "FILL", data);
		settle();
		g_autofree char *text = receive(reader);

		seen += g_str_has_prefix(text, "{\"event\":\"FILL\"");
	}
	g_assert_cmpuint(seen, ==, 3000);
	/* What fitted into the socket can still be read; then there is the end. */
	g_autofree char *kept = receive(sleeper), *end = receive(sleeper);

	g_assert_cmpuint(strlen(kept), <, 2 * 1000 * 1000);
	g_assert_null(end);
	close(sleeper);
	close(reader);
}

/* An answer or event that was said before the end arrives. */
static void test_last_words(void)
{
	ControlServer *brief = control_server_create();
	int client = negotiated_client(brief);

	control_server_event(brief, "SHUTDOWN", NULL);
	control_server_destroy(brief);
	g_autofree char *text = receive(client), *end = receive(client);

	g_assert_true(g_str_has_prefix(text, "{\"event\":\"SHUTDOWN\""));
	g_assert_null(end);
	close(client);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	server = control_server_create();
	control_server_add_commands(server, commands, G_N_ELEMENTS(commands), NULL);
	g_test_add_func("/control/clients/hundred", test_hundred);
	g_test_add_func("/control/clients/endless-value", test_endless_value);
	g_test_add_func("/control/clients/half-and-silence", test_half_and_silence);
	g_test_add_func("/control/clients/disconnect", test_disconnect);
	g_test_add_func("/control/clients/half-close", test_half_close);
	g_test_add_func("/control/clients/big-answers", test_big_answers);
	g_test_add_func("/control/clients/asks-without-reading", test_asks_without_reading);
	g_test_add_func("/control/clients/reads-no-events", test_reads_no_events);
	g_test_add_func("/control/clients/last-words", test_last_words);
	int status = g_test_run();

	control_server_destroy(server);
	return status;
}
