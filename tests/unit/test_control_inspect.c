// SPDX-License-Identifier: MIT
#include "control/inspect.h"
#include "control_fixture.h"
#include "fake_machine.h"
#include "vcpu_example.h"

typedef struct Fixture {
	Machine machine;
	ControlGuest guest;
	int client;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine = (Machine){.running = true, .cpus = 2};
	for (unsigned id = 0; id < 2; id++)
		f->machine.views[id] = vcpu_example(id);
	f->guest = (ControlGuest){.server = control_server_create(), .machine = &f->machine};
	f->guest.job = job_create(f->guest.server);
	control_inspect_attach(&f->guest);
	f->client = negotiated_client(f->guest.server);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	job_destroy(f->guest.job);
	control_server_destroy(f->guest.server);
	close(f->client);
}

static json_object *inspect(Fixture *f, const char *arguments)
{
	g_autofree char *request =
		g_strdup_printf("{\"execute\":\"x-umbra-inspect\",\"arguments\":%s}", arguments);
	g_autofree char *text = ask(f->client, request);
	g_autoptr(json_object) answer = json_tokener_parse(text);

	/* Clients are not told of so short a stop: there is the answer and no event. */
	g_assert_true(strchr(text, '\n') == text + strlen(text) - 1);
	g_assert_true(g_str_has_prefix(text, "{\"return\":"));
	return json_object_get(json_object_object_get(answer, "return"));
}

static void test_all(Fixture *f, const void *unused)
{
	g_autoptr(json_object) answer = inspect(f, "{}");
	json_object *vcpus = json_object_object_get(answer, "vcpus");

	(void)unused;
	g_assert_true(f->machine.running);
	g_assert_cmpint(json_object_get_int(json_object_object_get(answer, "version")), ==, 1);
	g_assert_cmpstr(json_object_get_string(json_object_object_get(answer, "source")), ==,
			"live");
	g_assert_true(json_object_get_boolean(json_object_object_get(answer, "running")));
	g_assert_cmpint(json_object_get_type(json_object_object_get(answer, "stopped_us")), ==,
			json_type_int);
	g_assert_cmpuint(json_object_array_length(vcpus), ==, 2);
	for (int id = 0; id < 2; id++)
		g_assert_cmpint(json_object_get_int(json_object_object_get(
					json_object_array_get_idx(vcpus, (size_t)id), "id")),
				==, id);
}

static void test_one_of_a_paused_guest(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.running = false;
	g_autoptr(json_object) answer = inspect(f, "{\"cpu\":1}");
	json_object *vcpus = json_object_object_get(answer, "vcpus");

	g_assert_false(f->machine.running);
	g_assert_false(json_object_get_boolean(json_object_object_get(answer, "running")));
	g_assert_null(json_object_object_get(answer, "stopped_us"));
	g_assert_cmpuint(json_object_array_length(vcpus), ==, 1);
	g_assert_cmpuint(f->machine.n_views, ==, 1);
}

/* A guest that ran goes on, whatever becomes of the question. */
static void test_inspect_fails(Fixture *f, const void *unused)
{
	static const char *const cpus[] = {"2", "-1", "65536", "4294967296", "9223372036854775807"};

	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(cpus); i++) {
		g_autofree char *request = g_strdup_printf(
			"{\"execute\":\"x-umbra-inspect\",\"arguments\":{\"cpu\":%s}}", cpus[i]);
		g_autofree char *text = ask(f->client, request);

		g_assert_nonnull(strstr(text, "there is no vCPU"));
		g_assert_true(f->machine.running);
	}
	f->machine.ended = true;
	assert_answer(f->client, "{\"execute\":\"x-umbra-inspect\"}",
		      GENERIC_ERROR("The guest has ended"));
}

#define SET(arguments) "{\"execute\":\"x-umbra-set\",\"arguments\":{" arguments "}}"

static void assert_refused(Fixture *f, const char *request, const char *why)
{
	Machine before = f->machine;
	g_autofree char *text = ask(f->client, request);

	g_test_message("%s: %s", request, text);
	g_assert_true(g_str_has_prefix(text, "{\"error\":{\"class\":\"GenericError\","));
	g_assert_nonnull(strstr(text, why));
	g_assert_cmpuint(f->machine.n_writes, ==, 0);
	g_assert_cmpmem(f->machine.views, sizeof(before.views), before.views, sizeof(before.views));
}

static void test_set(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.running = false;
	assert_answer(f->client,
		      SET("\"values\":{\"guest_ssp\":\"0x7fff00000ff8\",\"u_cet\":\"0x5\"},"
			  "\"cpu\":1"),
		      "{\"return\":{\"version\":1,\"changes\":["
		      "{\"register\":\"u_cet\",\"before\":\"0x1\",\"after\":\"0x5\"},"
		      "{\"register\":\"guest_ssp\",\"before\":\"0x7fff00000ff0\","
		      "\"after\":\"0x7fff00000ff8\"}]}}");
	g_assert_cmphex(f->machine.views[1].cet.value[CET_U_CET], ==, 5);
	g_assert_cmphex(f->machine.views[1].cet.value[CET_GUEST_SSP], ==, 0x7fff00000ff8);
	/* The others are what they were. */
	g_assert_cmphex(f->machine.views[1].cet.value[CET_S_CET], ==, 4);
	g_assert_cmphex(f->machine.views[0].cet.value[CET_U_CET], ==, 1);
}

static void test_set_of_a_running_guest(Fixture *f, const void *unused)
{
	(void)unused;
	assert_refused(f, SET("\"values\":{\"u_cet\":\"0x5\"}"), "the guest runs: pause it first");
}

static void test_set_refused(Fixture *f, const void *unused)
{
	static const struct {
		const char *request, *why;
	} rows[] = {
		{SET("\"values\":{}"), "no register is given"},
		{SET("\"values\":{\"nix\":\"0x1\"}"), "there is no register 'nix'"},
		{SET("\"values\":{\"u_cet\":1}"), "must be a string"},
		{SET("\"values\":{\"u_cet\":\"1\"}"), "must be a string"},
		{SET("\"values\":{\"u_cet\":\"0x10000000000000000\"}"), "must be a string"},
		{SET("\"values\":{\"u_cet\":\"0x1\"},\"cpu\":2"), "there is no vCPU 2"},
		{SET("\"values\":{\"u_cet\":\"0x40\"}"), "vcpu 0: u_cet=0x40: bits 6 "},
		{SET("\"values\":{\"pl3_ssp\":\"0x7fff00000002\"}"),
		 "pl3_ssp=0x7fff00000002: bits 1 "},
		/* The good one of two is not written either. */
		{SET("\"values\":{\"u_cet\":\"0x5\",\"guest_ssp\":\"0x8000000000000000\"}"),
		 "guest_ssp=0x8000000000000000"},
		/* KVM would report success and drop it: no force helps. */
		{SET("\"values\":{\"u_cet\":\"0x8000000000000004\"}"), "accepts-and-loses"},
		{SET("\"values\":{\"u_cet\":\"0x8000000000000004\"},\"force\":true"),
		 "accepts-and-loses"},
		{SET("\"values\":{\"u_cet\":\"0x40\"},\"force\":true"), "refuses"},
		/* KVM would keep it: refused, unless forced. */
		{SET("\"values\":{\"s_cet\":\"0x8000000000000004\"}"),
		 "force writes it all the same"},
		{SET("\"values\":{\"s_cet\":\"0x8000000000000004\"},\"force\":false"),
		 "s_cet=0x8000000000000004: bits 63:12 are not a canonical address"},
	};

	(void)unused;
	f->machine.running = false;
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		assert_refused(f, rows[i].request, rows[i].why);
}

static void test_set_forced(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.running = false;
	assert_answer(f->client,
		      SET("\"values\":{\"s_cet\":\"0x8000000000000004\"},\"force\":true"),
		      "{\"return\":{\"version\":1,\"changes\":[{\"register\":\"s_cet\",\"before\":"
		      "\"0x4\",\"after\":\"0x8000000000000004\"}]}}");
}

static void test_set_without_cet(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.running = false;
	f->machine.views[0].cet.has = CET_HAS_CR;
	assert_refused(f, SET("\"values\":{\"u_cet\":\"0x0\"}"), "vcpu 0 has no register u_cet");
	f->machine.views[0] = vcpu_example(0);
	f->machine.views[0].guest.features = CET_FEATURE_LM;
	assert_refused(f, SET("\"values\":{\"u_cet\":\"0x1\"}"), "u_cet=0x1");
}

static void test_kvm_refuses(Fixture *f, const void *unused)
{
	(void)unused;
	f->machine.running = false;
	f->machine.write_fails = true;
	assert_answer(f->client, SET("\"values\":{\"u_cet\":\"0x5\"}"),
		      GENERIC_ERROR("vcpu 0: KVM refuses"));
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
	g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/control/inspect/all", test_all);
	add("/control/inspect/one-of-a-paused-guest", test_one_of_a_paused_guest);
	add("/control/inspect/fails", test_inspect_fails);
	add("/control/set/values", test_set);
	add("/control/set/running", test_set_of_a_running_guest);
	add("/control/set/refused", test_set_refused);
	add("/control/set/forced", test_set_forced);
	add("/control/set/without-cet", test_set_without_cet);
	add("/control/set/kvm-refuses", test_kvm_refuses);
	return g_test_run();
}
