// SPDX-License-Identifier: MIT
/*
 * A QMP client that says anything, in pieces whose size is the first byte. What
 * comes back must be whole lines of JSON, and the server must serve the next one.
 */
#include "../unit/control_fixture.h"
#include "../unit/fake_machine.h"
#include "control/guest.h"
#include "fuzz.h"

static void quit(void *owner)
{
	(void)owner;
}

static void check_lines(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\r\n", 0);
	guint n = g_strv_length(lines);

	for (guint i = 0; i + 1 < n; i++) {
		g_autoptr(json_object) message = json_tokener_parse(lines[i]);

		g_assert_true(json_object_is_type(message, json_type_object));
	}
	g_assert_cmpstr(n ? lines[n - 1] : "", ==, "");
}

static void say(int client, const uint8_t *data, size_t size)
{
	size_t piece = size ? 1 + data[0] : 1;

	for (size_t at = 1; at < size; at += piece) {
		size_t n = MIN(piece, size - at);

		if (send(client, data + at, n, MSG_NOSIGNAL) < 0)
			return; /* it has been shown the door */
		settle();
		g_autofree char *text = receive(client);

		if (text)
			check_lines(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Machine machine = {.running = true, .cpus = 2};
	ControlGuest guest = {
		.server = control_server_create(),
		.machine = &machine,
		.name = "fuzz",
		.quit = quit,
	};

	guest.job = job_create(guest.server);
	control_guest_attach(&guest);
	int client = negotiated_client(guest.server), other = negotiated_client(guest.server);

	say(client, data, size);
	g_autofree char *events = receive(other);

	check_lines(events);
	assert_answer(other, "{\"execute\":\"query-name\"}", "{\"return\":{\"name\":\"fuzz\"}}");
	close(client);
	close(other);
	settle();
	job_destroy(guest.job);
	control_server_destroy(guest.server);
	return 0;
}
