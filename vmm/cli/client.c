// SPDX-License-Identifier: MIT
#include "cli/client.h"

#include "base/error.h"
#include "cli/cli.h"
#include "control/framer.h"
#include "control/registry.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A guest answers at once, unless its process is stopped or hangs. */
#define ANSWER_SECONDS 5
/* For its end: the kernel takes many seconds to free a large guest's memory. */
#define NO_DEADLINE G_MAXINT64
/* The registers of 254 vCPUs are about 1 MB. */
#define ANSWER_MAX (64 * 1024 * 1024)

struct Client {
	char *target; /* as errors name it */
	int fd;
	Framer input;
	GQueue *events; /* NULL: they are not kept */
};

static char *find_socket(const char *target, GError **error)
{
	struct stat status;

	if (!strchr(target, '/')) {
		char *path = registry_find(target);

		if (path)
			return path;
	}
	if (lstat(target, &status) < 0) {
		umbra_fail(error, UMBRA_ERROR_USAGE,
			   "%s: no guest of that name and no such socket (`umbra list` shows who "
			   "runs)",
			   target);
		return NULL;
	}
	if (S_ISLNK(status.st_mode) && stat(target, &status) < 0) {
		umbra_fail_errno(error, errno, "%s", target);
		return NULL;
	}
	if (!S_ISSOCK(status.st_mode)) {
		umbra_fail(error, UMBRA_ERROR_USAGE, "%s: not a socket: this needs a running guest",
			   target);
		return NULL;
	}
	return g_strdup(target);
}

/* Waits until the socket is ready for `events`; the time is what is left of the answer's. */
static bool wait_ready(const Client *client, short events, gint64 deadline, GError **error)
{
	for (;;) {
		gint64 left = (deadline - g_get_monotonic_time()) / 1000;
		struct pollfd ready = {.fd = client->fd, .events = events};
		int n = poll(&ready, 1, (int)CLAMP(left, 0, G_MAXINT));

		if (n > 0)
			return true;
		if (n == 0)
			return umbra_fail(error, UMBRA_ERROR_FAILED,
					  "%s: no answer within %d seconds: its process, %d, is "
					  "stopped, hangs or is no umbra",
					  client->target, ANSWER_SECONDS, client_pid(client));
		if (errno != EINTR)
			return umbra_fail_errno(error, errno, "%s", client->target);
	}
}

static gint64 answer_deadline(void)
{
	return g_get_monotonic_time() + ANSWER_SECONDS * G_USEC_PER_SEC;
}

/* Reads once: 1 data, 0 end, -1 error. A connection that breaks has ended too. */
static int receive(Client *client, gint64 deadline, GError **error)
{
	char bytes[4096];

	for (;;) {
		if (!wait_ready(client, POLLIN, deadline, error))
			return -1;
		ssize_t n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0)
			framer_push(&client->input, bytes, (size_t)n);
		if (n >= 0)
			return n > 0;
		if (errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR) {
			umbra_fail_errno(error, errno, "%s: cannot read", client->target);
			return -1;
		}
	}
}

/* The next message that has arrived: 1, 0 if none has, -1 for what no umbra would say. */
static int take_message(Client *client, json_object **ret_message, GError **error)
{
	const char *text;
	size_t length;
	FrameResult result = framer_next(&client->input, &text, &length);

	if (result == FRAME_NONE)
		return 0;
	if (result == FRAME_VALUE) {
		g_autofree char *copy = g_strndup(text, length);
		json_object *message = json_tokener_parse(copy);

		*ret_message = message;
		if (json_object_is_type(message, json_type_object))
			return 1;
		json_object_put(message);
	}
	umbra_fail(error, UMBRA_ERROR_INPUT,
		   "%s: what listens there is no umbra: it does not speak QMP", client->target);
	return -1;
}

/* The next message of the guest. */
static json_object *next_message(Client *client, gint64 deadline, GError **error)
{
	json_object *message = NULL;
	int got;

	while ((got = take_message(client, &message, error)) == 0) {
		got = receive(client, deadline, error);
		if (got == 0)
			umbra_fail(error, UMBRA_ERROR_GONE, "%s: the guest has ended",
				   client->target);
		if (got <= 0)
			return NULL;
	}
	return got > 0 ? message : NULL;
}

static bool greet(Client *client, GError **error)
{
	g_autoptr(json_object) greeting = next_message(client, answer_deadline(), error);
	json_object *qmp = NULL, *version = NULL, *package = NULL;

	if (!greeting)
		return false;
	if (json_object_object_get_ex(greeting, "QMP", &qmp) &&
	    json_object_object_get_ex(qmp, "version", &version))
		json_object_object_get_ex(version, "package", &package);
	const char *name = package ? json_object_get_string(package) : "";

	if (!g_str_has_prefix(name, "umbra "))
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "%s: what listens there is no umbra%s%s", client->target,
				  qmp ? ", but speaks QMP as another program: " : "",
				  qmp ? name : "");
	g_autoptr(json_object) negotiated = client_execute(client, "qmp_capabilities", NULL, error);

	return negotiated != NULL;
}

Client *client_open(const char *target, GError **error)
{
	g_autofree char *path = find_socket(target, error);
	g_autoptr(GError) why = NULL;
	int fd;

	if (!path)
		return NULL;
	if (!unix_socket_connect(path, &fd, &why)) {
		umbra_fail(error, UMBRA_ERROR_FAILED, "%s: no guest answers there: %s", target,
			   why->message);
		return NULL;
	}
	g_autoptr(Client) client = g_new0(Client, 1);

	client->target = g_strdup(target);
	client->fd = fd;
	framer_init(&client->input, ANSWER_MAX);
	return greet(client, error) ? g_steal_pointer(&client) : NULL;
}

void client_close(Client *client)
{
	if (!client)
		return;
	close(client->fd);
	framer_finish(&client->input);
	if (client->events)
		g_queue_free_full(client->events, (GDestroyNotify)(void (*)(void))json_object_put);
	g_free(client->target);
	g_free(client);
}

static bool send_text(Client *client, const char *text, gint64 deadline, GError **error)
{
	size_t length = strlen(text), sent = 0;

	while (sent < length) {
		ssize_t n =
			send(client->fd, text + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EPIPE || errno == ECONNRESET)
			return umbra_fail(error, UMBRA_ERROR_GONE, "%s: the guest has ended",
					  client->target);
		else if (errno != EAGAIN && errno != EINTR)
			return umbra_fail_errno(error, errno, "%s: cannot send", client->target);
		else if (!wait_ready(client, POLLOUT, deadline, error))
			return false;
	}
	return true;
}

static bool is_unknown_command(json_object *failed)
{
	json_object *class = NULL;

	return json_object_object_get_ex(failed, "class", &class) &&
	       strcmp(json_object_get_string(class), "CommandNotFound") == 0;
}

/* What an answer says; *ret_value stays NULL for an event. */
static bool take_answer(Client *client, json_object *message, json_object **ret_value,
			GError **error)
{
	json_object *failed = NULL, *description = NULL;

	if (json_object_object_get_ex(message, "return", ret_value)) {
		json_object_get(*ret_value);
		return true;
	}
	if (!json_object_object_get_ex(message, "error", &failed)) {
		if (client->events)
			g_queue_push_tail(client->events, json_object_get(message));
		return true;
	}
	json_object_object_get_ex(failed, "desc", &description);
	if (is_unknown_command(failed))
		return umbra_fail(error, UMBRA_ERROR_FAILED,
				  "%s: its process cannot do that: it still waits for a guest "
				  "(`umbra list` tells), or is of another version (%s)",
				  client->target, json_object_get_string(description));
	return umbra_fail(error, UMBRA_ERROR_FAILED, "%s: %s", client->target,
			  description ? json_object_get_string(description)
				      : "an error without a description");
}

json_object *client_execute(Client *client, const char *command, json_object *arguments,
			    GError **error)
{
	g_autoptr(json_object) request = json_object_new_object();
	gint64 deadline = answer_deadline();
	json_object *value = NULL;

	json_object_object_add(request, "execute", json_object_new_string(command));
	if (arguments)
		json_object_object_add(request, "arguments", arguments);
	if (!send_text(client, json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN),
		       deadline, error))
		return NULL;
	while (!value) {
		g_autoptr(json_object) message = next_message(client, deadline, error);

		if (!message || !take_answer(client, message, &value, error))
			return NULL;
	}
	return value;
}

void client_keep_events(Client *client)
{
	if (!client->events)
		client->events = g_queue_new();
}

/* Waits for input: true if there is some, false for `other_fd` or an error. */
static bool wait_for_either(const Client *client, int other_fd, GError **error)
{
	struct pollfd ready[] = {{.fd = client->fd, .events = POLLIN},
				 {.fd = other_fd, .events = POLLIN}};

	while (poll(ready, G_N_ELEMENTS(ready), -1) < 0)
		if (errno != EINTR)
			return umbra_fail_errno(error, errno, "%s", client->target);
	return !ready[1].revents;
}

bool client_next_event(Client *client, const char *name, int other_fd, json_object **ret_data,
		       GError **error)
{
	*ret_data = NULL;
	for (;;) {
		g_autoptr(json_object) message =
			client->events ? g_queue_pop_head(client->events) : NULL;
		g_autoptr(GError) failed = NULL;

		if (!message && take_message(client, &message, error) < 0)
			return false;
		if (!message) {
			if (!wait_for_either(client, other_fd, &failed)) {
				bool other = !failed;

				if (failed)
					g_propagate_error(error, g_steal_pointer(&failed));
				return other;
			}
			message = next_message(client, answer_deadline(), error);
			if (!message)
				return false;
		}
		json_object *event = json_object_object_get(message, "event");

		if (event && strcmp(json_object_get_string(event), name) == 0) {
			*ret_data = json_object_get(json_object_object_get(message, "data"));
			return true;
		}
	}
}

bool client_wait_end(Client *client, GError **error)
{
	int got;

	while ((got = receive(client, NO_DEADLINE, error)) > 0)
		;
	return got == 0;
}

pid_t client_pid(const Client *client)
{
	return unix_socket_peer(client->fd);
}

int client_run_command(int argc, char **argv, const char *description, const char *qmp_command)
{
	const GOptionEntry options[] = {{0}};
	g_autoptr(GError) error = NULL;

	if (!cli_parse(&argc, &argv, options, "TARGET", description, 2, &error))
		return cli_error(error);
	g_autoptr(Client) client = client_open(argv[1], &error);

	if (!client)
		return cli_error(error);
	g_autoptr(json_object) done = client_execute(client, qmp_command, NULL, &error);

	return done ? EXIT_YES : cli_error(error);
}
