// SPDX-License-Identifier: MIT
/* What QMP says that a server does with what a client says (docs/interop/qmp-spec.rst in QEMU). */
#include "control_fixture.h"

#include "base/error.h"

static bool echo(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	(void)owner, (void)error;
	*ret_value = json_object_get(arguments);
	return true;
}

static bool nothing(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	unsigned *calls = owner;

	(void)arguments, (void)ret_value, (void)error;
	(*calls)++;
	return true;
}

static bool fail(void *owner, json_object *arguments, json_object **ret_value, GError **error)
{
	(void)owner, (void)arguments;
	*ret_value = json_object_new_string("half done");
	return umbra_fail(error, UMBRA_ERROR_FAILED, "no \"%s\" of %s", "use", "\xff");
}

static const QmpCommand commands[] = {
	{.name = "nothing", .run = nothing},
	{.name = "fail", .run = fail},
	{.name = "echo",
	 .run = echo,
	 .arguments = {{"word", json_type_string, false},
		       {"number", json_type_int, true},
		       {"flag", json_type_boolean, true},
		       {"list", json_type_array, true},
		       {"map", json_type_object, true},
		       {"real", json_type_double, true}}},
};

typedef struct Fixture {
	ControlServer *server;
	int client;
	unsigned calls;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->server = control_server_create();
	control_server_add_commands(f->server, commands, G_N_ELEMENTS(commands), &f->calls);
	f->client = negotiated_client(f->server);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	/* Whatever the test did: another client is served. */
	int other = negotiated_client(f->server);

	assert_answer(other, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
	close(other);
	close(f->client);
	settle();
	control_server_destroy(f->server);
}

static void test_greeting(Fixture *f, const void *unused)
{
	int client = raw_client(f->server);
	g_autofree char *text = receive(client);
	g_autoptr(json_object) greeting = json_tokener_parse(text);
	json_object *qmp = json_object_object_get(greeting, "QMP");
	json_object *version = json_object_object_get(qmp, "version");
	json_object *capabilities = json_object_object_get(qmp, "capabilities");
	json_object *numbers = json_object_object_get(version, "qemu");

	(void)unused;
	g_assert_true(g_str_has_suffix(text, "}\r\n"));
	g_assert_true(strchr(text, '\n') == text + strlen(text) - 1);
	g_assert_cmpint(json_object_get_type(capabilities), ==, json_type_array);
	g_assert_cmpuint(json_object_array_length(capabilities), ==, 0);
	for (const char *const *key = (const char *const[]){"major", "minor", "micro", NULL}; *key;
	     key++)
		g_assert_cmpint(json_object_get_type(json_object_object_get(numbers, *key)), ==,
				json_type_int);
	g_assert_true(g_str_has_prefix(
		json_object_get_string(json_object_object_get(version, "package")), "umbra "));
	close(client);
}

static void test_negotiation(Fixture *f, const void *unused)
{
	int client = raw_client(f->server);
	g_autofree char *greeting = receive(client);

	(void)unused;
	g_assert_nonnull(greeting);
	assert_answer(client, "{\"execute\":\"nothing\"}",
		      NOT_FOUND("Expecting capabilities negotiation with 'qmp_capabilities'"));
	assert_answer(client, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":true}}",
		      GENERIC_ERROR("Invalid parameter type for 'enable', expected: array"));
	assert_answer(client,
		      "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}",
		      GENERIC_ERROR("Capability oob not available"));
	assert_answer(client,
		      "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[null]}}",
		      GENERIC_ERROR("Capability (null) not available"));
	assert_answer(client, "{\"execute\":\"nothing\"}",
		      NOT_FOUND("Expecting capabilities negotiation with 'qmp_capabilities'"));
	g_assert_cmpuint(f->calls, ==, 0);
	assert_answer(client, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}",
		      "{\"return\":{}}");
	assert_answer(client, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
	g_assert_cmpuint(f->calls, ==, 1);
	assert_answer(client, "{\"execute\":\"qmp_capabilities\"}",
		      NOT_FOUND("Capabilities negotiation is already complete, command ignored"));
	close(client);
}

static const struct {
	const char *name, *request, *answer;
} dialogues[] = {
	{"id-string", "{\"execute\":\"nothing\",\"id\":\"a\"}", "{\"return\":{},\"id\":\"a\"}"},
	{"id-number", "{\"id\":-7,\"execute\":\"nothing\"}", "{\"return\":{},\"id\":-7}"},
	{"id-object", "{\"execute\":\"nothing\",\"id\":{\"a\":[1]}}",
	 "{\"return\":{},\"id\":{\"a\":[1]}}"},
	{"id-null", "{\"execute\":\"nothing\",\"id\":null}", "{\"return\":{},\"id\":null}"},
	{"id-of-an-error", "{\"execute\":\"nix\",\"id\":1}",
	 "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command nix has not been "
	 "found\"},\"id\":1}"},
	{"id-of-a-wrong-request", "{\"id\":2}",
	 "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input lacks member "
	 "'execute'\"},\"id\":2}"},
	{"single-quotes", "{'execute':'nothing'}", "{\"return\":{}}"},
	{"arguments-none", "{\"execute\":\"nothing\",\"arguments\":{}}", "{\"return\":{}}"},
	{"arguments-one", "{\"execute\":\"echo\",\"arguments\":{\"word\":\"ü/\\u0000\"}}",
	 "{\"return\":{\"word\":\"ü/\\u0000\"}}"},
	{"arguments-all",
	 "{\"execute\":\"echo\",\"arguments\":{\"word\":\"\",\"number\":1,\"flag\":false,"
	 "\"list\":[],\"map\":{},\"real\":1.5}}",
	 "{\"return\":{\"word\":\"\",\"number\":1,\"flag\":false,\"list\":[],\"map\":{},\"real\":1."
	 "5}}"},
	{"argument-missing", "{\"execute\":\"echo\",\"arguments\":{\"number\":1}}",
	 GENERIC_ERROR("Parameter 'word' is missing")},
	{"argument-null", "{\"execute\":\"echo\",\"arguments\":{\"word\":null}}",
	 GENERIC_ERROR("Invalid parameter type for 'word', expected: string")},
	{"argument-type", "{\"execute\":\"echo\",\"arguments\":{\"word\":\"a\",\"number\":\"1\"}}",
	 GENERIC_ERROR("Invalid parameter type for 'number', expected: int")},
	{"argument-unexpected", "{\"execute\":\"echo\",\"arguments\":{\"word\":\"a\",\"x\":1}}",
	 GENERIC_ERROR("Parameter 'x' is unexpected")},
	{"argument-of-none", "{\"execute\":\"nothing\",\"arguments\":{\"x\":1}}",
	 GENERIC_ERROR("Parameter 'x' is unexpected")},
	{"arguments-no-object", "{\"execute\":\"nothing\",\"arguments\":[]}",
	 GENERIC_ERROR("QMP input member 'arguments' must be an object")},
	{"execute-no-string", "{\"execute\":1}",
	 GENERIC_ERROR("QMP input member 'execute' must be a string")},
	{"no-execute", "{}", GENERIC_ERROR("QMP input lacks member 'execute'")},
	{"oob", "{\"exec-oob\":\"nothing\"}",
	 GENERIC_ERROR("QMP input member 'exec-oob' is unexpected")},
	{"no-object", "[]", GENERIC_ERROR("QMP input must be a JSON object")},
	{"unknown-command", "{\"execute\":\"\"}", NOT_FOUND("The command  has not been found")},
	{"a-command-fails", "{\"execute\":\"fail\"}", GENERIC_ERROR("no \\\"use\\\" of \uFFFD")},
	{"not-json", "{execute}",
	 GENERIC_ERROR("Invalid JSON syntax: quoted object property name expected")},
	{"brackets-by-number", "{\"execute\":[}}",
	 GENERIC_ERROR("Invalid JSON syntax: unexpected "
		       "character")},
	{"brackets-of-two-kinds", "{]",
	 GENERIC_ERROR("Invalid JSON syntax: quoted object property name expected")},
	{"brackets-early", "{}]",
	 "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input lacks "
	 "member 'execute'\"}}\r\n" GENERIC_ERROR(
		 "Invalid JSON syntax: not a JSON object; dropping the "
		 "rest of the line")},
	{"not-utf-8", "{\"execute\":\"\xc3\"}", GENERIC_ERROR("Invalid JSON syntax: not UTF-8")},
	{"utf-8-too-long", "{\"execute\":\"\xc0\x80\"}",
	 GENERIC_ERROR("Invalid JSON syntax: not UTF-8")},
	{"garbage", "help\n",
	 GENERIC_ERROR("Invalid JSON syntax: not a JSON object; dropping the rest of the line")},
	{"two-at-once", "{\"execute\":\"nothing\",\"id\":1}{\"execute\":\"nothing\",\"id\":2}",
	 "{\"return\":{},\"id\":1}\r\n{\"return\":{},\"id\":2}"},
};

/* Each at once, byte by byte, and with the connection as good as new afterwards. */
static void test_dialogue(Fixture *f, const void *argument)
{
	size_t i = GPOINTER_TO_SIZE(argument);
	g_autofree char *expected = g_strconcat(dialogues[i].answer, "\r\n", NULL);
	g_autofree char *answer = ask(f->client, dialogues[i].request);

	g_assert_cmpstr(answer, ==, expected);
	/* A newline ends what garbage left; between values it is nothing. */
	g_autofree char *silence = ask(f->client, "\n");

	g_assert_cmpstr(silence, ==, "");
	assert_answer(f->client, "{\"execute\":\"nothing\"}", "{\"return\":{}}");
	for (const char *at = dialogues[i].request; *at; at++) {
		send_bytes(f->client, at, 1);
		settle();
	}
	g_autofree char *again = receive(f->client);

	g_assert_cmpstr(again, ==, expected);
}

/* Nesting is bounded, however balanced. */
static void test_depth(Fixture *f, const void *unused)
{
	(void)unused;
	for (unsigned depth = 40; depth < 30000; depth *= 3) {
		g_autofree char *open = g_strnfill(depth, '['), *shut = g_strnfill(depth, ']');
		g_autofree char *request = g_strconcat(open, shut, NULL);

		assert_answer(f->client, request,
			      GENERIC_ERROR("Invalid JSON syntax: nesting too deep"));
	}
}

/* query-commands tells all commands and no others. */
static void test_query_commands(Fixture *f, const void *unused)
{
	(void)unused;
	assert_answer(f->client, "{\"execute\":\"query-commands\"}",
		      "{\"return\":[{\"name\":\"qmp_capabilities\"},{\"name\":\"query-version\"},"
		      "{\"name\":\"query-commands\"},{\"name\":\"nothing\"},{\"name\":\"fail\"},"
		      "{\"name\":\"echo\"}]}");
}

static void test_event(Fixture *f, const void *unused)
{
	int early = raw_client(f->server), other = negotiated_client(f->server);
	json_object *data = json_object_new_object();
	gint64 before = g_get_real_time() / G_USEC_PER_SEC;

	(void)unused;
	json_object_object_add(data, "guest", json_object_new_boolean(TRUE));
	control_server_event(f->server, "SHUTDOWN", data);
	control_server_event(f->server, "STOP", NULL);

	g_autofree char *greeting = receive(early);
	g_autofree char *text = receive(f->client), *same = receive(other);
	g_auto(GStrv) lines = g_strsplit(text, "\r\n", 0);
	g_autoptr(json_object) first = json_tokener_parse(lines[0]);
	json_object *timestamp = json_object_object_get(first, "timestamp");

	g_assert_cmpstr(text, ==, same);
	/* Who has not negotiated is told nothing but the greeting. */
	g_assert_null(strstr(greeting, "SHUTDOWN"));
	g_assert_true(g_str_has_prefix(
		lines[0], "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true},\"timestamp\":"));
	g_assert_true(g_str_has_prefix(lines[1], "{\"event\":\"STOP\",\"timestamp\":"));
	g_assert_cmpstr(lines[2], ==, "");
	g_assert_cmpint(json_object_get_int64(json_object_object_get(timestamp, "seconds")), >=,
			before);
	g_assert_cmpint(json_object_get_int64(json_object_object_get(timestamp, "microseconds")), <,
			1000000);
	close(early);
	close(other);
}

static void add(const char *name, void (*test)(Fixture *, const void *), size_t argument)
{
	g_autofree char *path = g_strdup_printf("/control/protocol/%s", name);

	g_test_add(path, Fixture, GSIZE_TO_POINTER(argument), set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("greeting", test_greeting, 0);
	add("negotiation", test_negotiation, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(dialogues); i++)
		add(dialogues[i].name, test_dialogue, i);
	add("depth", test_depth, 0);
	add("query-commands", test_query_commands, 0);
	add("event", test_event, 0);
	return g_test_run();
}
