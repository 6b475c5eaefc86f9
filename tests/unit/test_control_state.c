// SPDX-License-Identifier: MIT
#include "control/state.h"
#include "base/error.h"
#include "control_fixture.h"
#include "fake_machine.h"
#include "inspect/state_json.h"
#include "judged_example.h"
#include "snapshot/state_tree.h"
#include "state/compare.h"

typedef struct Fixture {
	Machine machine;
	ControlGuest guest;
	int client;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine = (Machine){.running = true, .cpus = 2, .save = example_state};
	f->guest = (ControlGuest){.server = control_server_create(), .machine = &f->machine};
	control_state_attach(&f->guest);
	f->client = negotiated_client(f->guest.server);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	control_server_destroy(f->guest.server);
	close(f->client);
}

static json_object *ask_state(Fixture *f)
{
	g_autofree char *text = ask(f->client, "{\"execute\":\"x-umbra-state\"}");

	return json_tokener_parse(text);
}

/* What comes out at the other end is what the machine gave. */
static void test_whole_way(Fixture *f, const void *unused)
{
	g_autoptr(json_object) answer = ask_state(f);
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) tree = state_from_json(json_object_object_get(answer, "return"), &error);

	(void)unused;
	g_assert_no_error(error);
	g_assert_true(f->machine.running);
	g_assert_false(f->machine.held);
	gsize size;
	const void *data = g_bytes_get_data(tree, &size);
	g_autoptr(MachineState) state = state_tree_read(data, size, &error);
	g_autoptr(MachineState) expected = example_state();

	g_assert_no_error(error);
	g_autoptr(GPtrArray) differences = machine_state_compare(state, expected);

	g_assert_cmpuint(differences->len, ==, 0);
}

static void test_refused(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.save = NULL;
	g_autoptr(json_object) answer = ask_state(f);
	json_object *failed = json_object_object_get(answer, "error");

	g_assert_cmpstr(json_object_get_string(json_object_object_get(failed, "desc")), ==,
			"vcpu 0: KVM refuses");
	g_assert_false(f->machine.held);
}

static void test_ended(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.ended = true;
	g_autoptr(json_object) answer = ask_state(f);

	g_assert_nonnull(json_object_object_get(answer, "error"));
}

/* What another process may answer, and is no state. */
static void test_no_state(void)
{
	static const char *const bad[] = {
		"null", "[]", "{}", "{\"state\":5}", "{\"state\":\"\"}", "{\"state\":\"!!!\"}"};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(json_object) json = json_tokener_parse(bad[i]);
		g_autoptr(GError) error = NULL;

		g_assert_null(state_from_json(json, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/control_state/whole-way", Fixture, NULL, set_up, test_whole_way, tear_down);
	g_test_add("/control_state/refused", Fixture, NULL, set_up, test_refused, tear_down);
	g_test_add("/control_state/ended", Fixture, NULL, set_up, test_ended, tear_down);
	g_test_add_func("/control_state/no-state", test_no_state);
	return g_test_run();
}
