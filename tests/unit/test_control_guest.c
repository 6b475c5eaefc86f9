// SPDX-License-Identifier: MIT
#include "control/guest.h"
#include "control_fixture.h"
#include "fake_machine.h"

typedef struct Fixture {
	Machine machine;
	ControlGuest guest;
	unsigned quits;
	int client, other;
} Fixture;

static void count_quit(void *owner)
{
	Fixture *f = owner;

	f->quits++;
}

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine = (Machine){.running = true, .cpus = 2, .memory = {.size = 6UL << 30}};
	f->guest = (ControlGuest){
		.server = control_server_create(),
		.machine = &f->machine,
		.name = "a-guest",
		.quit = count_quit,
		.owner = f,
	};
	f->guest.job = job_create(f->guest.server);
	control_guest_attach(&f->guest);
	f->client = negotiated_client(f->guest.server);
	f->other = negotiated_client(f->guest.server);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	job_destroy(f->guest.job);
	control_server_destroy(f->guest.server);
	close(f->client);
	close(f->other);
}

/* Exactly one event, of which the time is not looked at; NULL if there was nothing. */
static char *take_event(int client)
{
	g_autofree char *text = receive(client);
	char *time = strstr(text, ",\"timestamp\":");

	if (!time)
		return g_strdup(text);
	g_assert_true(strchr(text, '\n') == text + strlen(text) - 1);
	return g_strndup(text, (gsize)(time - text));
}

#define assert_event(client, expected)                       \
	do {                                                 \
		g_autofree char *event = take_event(client); \
		g_assert_cmpstr(event, ==, expected);        \
	} while (0)

static void test_queries(Fixture *f, const void *unused)
{
	(void)unused;
	assert_answer(f->client, "{\"execute\":\"query-name\"}",
		      "{\"return\":{\"name\":\"a-guest\"}}");
	assert_answer(f->client, "{\"execute\":\"query-status\"}",
		      "{\"return\":{\"status\":\"running\",\"running\":true}}");
	f->machine.running = false;
	assert_answer(f->client, "{\"execute\":\"query-status\"}",
		      "{\"return\":{\"status\":\"paused\",\"running\":false}}");
	assert_answer(f->client, "{\"execute\":\"query-memory-size-summary\"}",
		      "{\"return\":{\"base-memory\":6442450944}}");
}

static void test_cpus(Fixture *f, const void *unused)
{
	g_autofree char *text = ask(f->client, "{\"execute\":\"query-cpus-fast\"}");
	g_autoptr(json_object) answer = json_tokener_parse(text);
	json_object *cpus = json_object_object_get(answer, "return");

	(void)unused;
	g_assert_cmpuint(json_object_array_length(cpus), ==, 2);
	for (int i = 0; i < 2; i++) {
		json_object *cpu = json_object_array_get_idx(cpus, (size_t)i);

		g_assert_cmpint(json_object_get_int(json_object_object_get(cpu, "cpu-index")), ==,
				i);
		g_assert_cmpint(json_object_get_int(json_object_object_get(cpu, "thread-id")), ==,
				1000 + i);
		g_assert_cmpstr(json_object_get_string(json_object_object_get(cpu, "target")), ==,
				"x86_64");
		g_assert_cmpint(json_object_get_type(json_object_object_get(cpu, "qom-path")), ==,
				json_type_string);
	}
}

/* Every client hears of a change, nobody of none. */
static void test_stop_and_cont(Fixture *f, const void *unused)
{
	(void)unused;
	for (unsigned round = 0; round < 2; round++) {
		g_autofree char *stopped = ask(f->client, "{\"execute\":\"stop\"}");

		g_assert_false(f->machine.running);
		g_assert_true(g_str_has_prefix(stopped, "{\"event\":\"STOP\","));
		g_assert_true(g_str_has_suffix(stopped, "}\r\n{\"return\":{}}\r\n"));
		assert_event(f->other, "{\"event\":\"STOP\"");
		assert_answer(f->client, "{\"execute\":\"stop\"}", "{\"return\":{}}");
		assert_event(f->other, "");

		g_autofree char *resumed = ask(f->other, "{\"execute\":\"cont\"}");

		g_assert_true(f->machine.running);
		g_assert_true(g_str_has_prefix(resumed, "{\"event\":\"RESUME\","));
		assert_event(f->client, "{\"event\":\"RESUME\"");
		assert_answer(f->other, "{\"execute\":\"cont\"}", "{\"return\":{}}");
		assert_event(f->client, "");
	}
}

static void test_ended(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.ended = true;
	assert_answer(f->client, "{\"execute\":\"stop\"}", GENERIC_ERROR("The guest has ended"));
	assert_answer(f->client, "{\"execute\":\"cont\"}", GENERIC_ERROR("The guest has ended"));
	assert_event(f->other, "");
}

static void test_powerdown(Fixture *f, const void *unused)
{
	(void)unused;
	g_autofree char *text = ask(f->client, "{\"execute\":\"system_powerdown\"}");

	g_assert_cmpuint(f->machine.presses, ==, 1);
	g_assert_true(g_str_has_suffix(text, "{\"return\":{}}\r\n"));
	assert_event(f->other, "{\"event\":\"POWERDOWN\"");
}

static void test_quit(Fixture *f, const void *unused)
{
	(void)unused;
	assert_answer(f->client, "{\"execute\":\"quit\"}", "{\"return\":{}}");
	g_assert_cmpuint(f->quits, ==, 1);
}

/* QEMU's words, by hand (qapi/run-state.json, ShutdownCause). */
static void test_shutdown(Fixture *f, const void *unused)
{
	static const struct {
		MachineEndKind kind;
		const char *from_outside, *event;
	} rows[] = {
		{MACHINE_END_POWER_OFF, NULL, "true,\"reason\":\"guest-shutdown\""},
		{MACHINE_END_RESET, NULL, "true,\"reason\":\"guest-reset\""},
		{MACHINE_END_TRIPLE_FAULT, NULL, "true,\"reason\":\"guest-reset\""},
		{MACHINE_END_INTERNAL_ERROR, NULL, "false,\"reason\":\"host-error\""},
		{MACHINE_END_FAIL_ENTRY, NULL, "false,\"reason\":\"host-error\""},
		{MACHINE_END_FAILED, NULL, "false,\"reason\":\"host-error\""},
		{MACHINE_END_STOPPED, "host-qmp-quit", "false,\"reason\":\"host-qmp-quit\""},
		{MACHINE_END_STOPPED, "host-signal", "false,\"reason\":\"host-signal\""},
		/* The guest was faster. */
		{MACHINE_END_POWER_OFF, "host-signal", "true,\"reason\":\"guest-shutdown\""},
	};

	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const MachineEnd end = {.kind = rows[i].kind};
		g_autofree char *expected = g_strdup_printf(
			"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":%s}", rows[i].event);

		control_guest_announce_end(&f->guest, &end, rows[i].from_outside);
		assert_event(f->client, expected);
	}
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
	g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/control/guest/queries", test_queries);
	add("/control/guest/cpus", test_cpus);
	add("/control/guest/stop-and-cont", test_stop_and_cont);
	add("/control/guest/ended", test_ended);
	add("/control/guest/powerdown", test_powerdown);
	add("/control/guest/quit", test_quit);
	add("/control/guest/shutdown", test_shutdown);
	return g_test_run();
}
