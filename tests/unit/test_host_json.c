// SPDX-License-Identifier: MIT
/* A host's description, read back: all of what a check needs, and nothing that is not one. */
#include "inspect/host_text.h"
#include "base/error.h"
#include "base/json.h"
#include "judged_example.h"
#include "state/check.h"

static bool read_text(const char *text, HostInfo *ret_info, GError **error)
{
	return host_info_from_json(text, strlen(text), ret_info, error);
}

static void test_round_trip(void)
{
	g_auto(HostInfo) host = {0}, read = {0};
	g_autoptr(GError) error = NULL;

	example_host(&host);
	host.parameters[HOST_PARAMETER_INTEL_CET] = g_strdup("Y");
	host.parameters[HOST_PARAMETER_KVM_IGNORE_MSRS] = g_strdup("Y");
	host.cet.ignores_msrs = true;
	host.cet.traits = CET_TRAIT_REFUSES_BITMAP | CET_TRAIT_REFUSES_CET_WITHOUT_WP;
	g_autofree char *text = host_json(&host);

	g_assert_true(read_text(text, &read, &error));
	g_assert_no_error(error);
	g_assert_cmpint(read.access, ==, HOST_KVM_USABLE);
	g_assert_cmpstr(read.kernel, ==, host.kernel);
	g_assert_cmpstr(read.path, ==, host.path);
	g_assert_cmpstr(read.backend, ==, host.backend);
	g_assert_cmpstr(read.cpu.vendor, ==, "GenuineIntel");
	g_assert_true(read.cpu.shstk && read.cpu.ibt && read.cpu.xstates);
	g_assert_cmpstr(read.parameters[HOST_PARAMETER_INTEL_CET], ==, "Y");
	g_assert_null(read.parameters[HOST_PARAMETER_INTEL_EPT]);
	g_assert_cmpint(read.api_version, ==, 12);
	g_assert_cmpmem(read.capabilities, sizeof(read.capabilities), host.capabilities,
			sizeof(host.capabilities));
	g_assert_cmphex(read.xcr0, ==, host.xcr0);
	g_assert_cmpuint(read.tsc_khz, ==, 2400000);
	g_assert_cmpuint(read.cpuid->nent, ==, host.cpuid->nent);
	g_assert_cmpmem(read.cpuid->entries, read.cpuid->nent * sizeof(read.cpuid->entries[0]),
			host.cpuid->entries, host.cpuid->nent * sizeof(host.cpuid->entries[0]));
	g_assert_cmpmem(read.msrs, read.n_msrs * sizeof(uint32_t), host.msrs,
			host.n_msrs * sizeof(uint32_t));
	g_assert_cmphex(read.cet.features, ==, host.cet.features);
	g_assert_cmphex(read.cet.xss, ==, host.cet.xss);
	g_assert_cmpuint(read.cet.linear_bits, ==, host.cet.linear_bits);
	g_assert_true(read.cet.ignores_msrs && read.guest_ssp);
	g_assert_cmphex(read.cet.traits, ==, host.cet.traits);
	/* What it says again, it says in the same words. */
	g_autofree char *again = host_json(&read);
	g_autoptr(json_object) a = json_tokener_parse(text), b = json_tokener_parse(again);

	json_object_object_del(a, "missing"); /* rests on what is not told */
	json_object_object_del(b, "missing");
	g_assert_true(json_object_equal(a, b));
}

static void test_without_kvm(void)
{
	g_auto(HostInfo) host = {.access = HOST_KVM_DENIED}, read = {0};
	g_autoptr(GError) error = NULL;

	host.path = g_strdup("/dev/kvm");
	host.kernel = g_strdup("7.3.4");
	host.reason = g_strdup("/dev/kvm: Permission denied");
	g_autofree char *text = host_json(&host);

	g_assert_true(read_text(text, &read, &error));
	g_assert_cmpint(read.access, ==, HOST_KVM_DENIED);
	g_assert_cmpstr(read.reason, ==, "/dev/kvm: Permission denied");
	g_autoptr(MachineState) state = example_state();
	g_autoptr(GPtrArray) problems = machine_state_check(state, &read);

	g_assert_cmpuint(problems->len, ==, 1);
	g_assert_nonnull(strstr(((StateProblem *)problems->pdata[0])->rule, "Permission denied"));
}

/* A part of the description, replaced by `value` (JSON; NULL removes it), and what is said of it.
 */
static const struct Bad {
	const char *path, *value, *expected;
} bad[] = {
	{"version", NULL, "version is missing or wrong"},
	{"version", "\"1\"", "version is missing or wrong"},
	{"version", "2", "has version 2, and this umbra reads 1"},
	{"version", "-1", "version is missing or wrong"},
	{"kernel", NULL, "kernel is missing"},
	{"kernel", "7", "kernel is missing"},
	{"kernel", "\"7.3\\u001b[2J\"", "kernel is missing"},
	{"kernel", "\"7.3\\u0000x\"", "kernel is missing"},
	{"cpu", NULL, "a part of cpu"},
	{"cpu", "[]", "a part of cpu"},
	{"cpu.vendor", "\"GenuineIntelX\"", "a part of cpu"},
	{"cpu.shstk", "1", "a part of cpu"},
	{"kvm", NULL, "kvm.access"},
	{"kvm", "\"usable\"", "kvm.access"},
	{"kvm.access", "\"perhaps\"", "kvm.access"},
	{"kvm.api_version", "1.5", "kvm.api_version"},
	{"kvm.xcr0", "231", "kvm.xcr0"},
	{"kvm.xcr0", "\"0x1ffffffffffffffff\"", "kvm.xcr0"},
	{"kvm.xcr0", "\"e7\"", "kvm.xcr0"},
	{"kvm.tsc_khz", "\"2400000\"", "kvm.tsc_khz"},
	{"kvm.tsc_khz", "100000001", "kvm.tsc_khz"},
	{"kvm.capabilities", "null", "kvm.capabilities.one_reg"},
	{"kvm.capabilities.xsave2", NULL, "kvm.capabilities.xsave2"},
	{"kvm.capabilities.xsave2", "-5", "kvm.capabilities.xsave2"},
	{"kvm.capabilities.max_vcpus", "99999999999", "kvm.capabilities.max_vcpus"},
	{"kvm.cpuid", "[]", "kvm.cpuid"},
	{"kvm.cpuid", "{}", "kvm.cpuid"},
	{"kvm.cpuid.0", "null", "a leaf of kvm.cpuid"},
	{"kvm.cpuid.0.eax", "\"0x100000000\"", "a leaf of kvm.cpuid"},
	{"kvm.cpuid.1.function", NULL, "a leaf of kvm.cpuid"},
	{"kvm.cpuid.2.index", "4294967296", "a leaf of kvm.cpuid"},
	{"kvm.msrs", NULL, "kvm.msrs"},
	{"kvm.msrs.0", "16", "a number of kvm.msrs"},
	{"kvm.msrs.0", "\"0x100000000\"", "a number of kvm.msrs"},
	{"cet", NULL, "a part of cet"},
	{"cet.guest_ssp", "\"yes\"", "a part of cet"},
	{"cet.shstk", "false", "contradicts itself"},
	{"cet.ibt", "false", "contradicts itself"},
	{"cet.traits", "{}", "cet.traits is missing or wrong"},
	{"cet.traits", "[1]", "cet.traits is missing or wrong"},
	{"cet.traits", "[\"likes-bitmaps\"]", "cet.traits is missing or wrong"},
};

static json_object *child(json_object *json, const char *key)
{
	if (json_object_is_type(json, json_type_array))
		return json_object_array_get_idx(json, (size_t)g_ascii_strtoull(key, NULL, 10));
	return json_object_object_get(json, key);
}

static void replace(json_object *json, const char *path, const char *value)
{
	g_auto(GStrv) keys = g_strsplit(path, ".", 0);
	guint last = g_strv_length(keys) - 1;
	json_object *with = value ? json_tokener_parse(value) : NULL;

	for (guint i = 0; i < last; i++)
		json = child(json, keys[i]);
	if (json_object_is_type(json, json_type_array))
		json_object_array_put_idx(json, (size_t)g_ascii_strtoull(keys[last], NULL, 10),
					  with);
	else if (value)
		json_object_object_add(json, keys[last], with);
	else
		json_object_object_del(json, keys[last]);
}

static void expect_refused(const char *text, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_auto(HostInfo) read = {0};

	g_assert_false(read_text(text, &read, &error));
	g_test_message("%s", error->message);
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, expected));
}

static void test_bad(void)
{
	g_auto(HostInfo) host = {0};

	example_host(&host);
	g_autofree char *good = host_json(&host);

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(json_object) json = json_tokener_parse(good);

		g_test_message("%s = %s", bad[i].path, bad[i].value);
		replace(json, bad[i].path, bad[i].value);
		expect_refused(json_object_to_json_string(json), bad[i].expected);
	}
}

static void test_no_json(void)
{
	g_auto(HostInfo) host = {0}, read = {0};

	example_host(&host);
	g_autofree char *good = host_json(&host);
	g_autofree char *twice = g_strconcat(good, good, NULL);
	g_autofree char *long_one = g_strnfill(HOST_JSON_MAX + 1, ' ');
	GString *deep = g_string_new(NULL);

	expect_refused("", "no JSON object");
	expect_refused("[1]", "no JSON object");
	expect_refused("kernel 7.3", "no JSON object");
	expect_refused(twice, "its end");
	expect_refused(long_one, "more than");
	for (unsigned i = 0; i < 1000; i++)
		g_string_append(deep, "{\"kvm\":");
	expect_refused(deep->str, "no JSON object");
	g_string_free(deep, TRUE);
	/* Cut anywhere, it is none; the last byte is a newline. */
	for (size_t length = 0; length < strlen(good) - 1; length++) {
		g_assert_false(host_info_from_json(good, length, &read, NULL));
		host_info_finish(&read);
	}
}

/* More of a list than there can be. */
static void test_long_lists(void)
{
	static const struct {
		const char *path;
		unsigned n;
	} rows[] = {{"cpuid", 257}, {"msrs", 4097}};
	g_auto(HostInfo) host = {0};

	example_host(&host);
	g_autofree char *good = host_json(&host);

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(json_object) json = json_tokener_parse(good);
		json_object *list = child(child(json, "kvm"), rows[i].path);
		g_autofree char *expected = g_strdup_printf("kvm.%s", rows[i].path);

		while (json_object_array_length(list) < rows[i].n)
			json_object_array_add(list, json_object_get(child(list, "0")));
		expect_refused(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
			       expected);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/host_json/round-trip", test_round_trip);
	g_test_add_func("/host_json/without-kvm", test_without_kvm);
	g_test_add_func("/host_json/bad", test_bad);
	g_test_add_func("/host_json/no-json", test_no_json);
	g_test_add_func("/host_json/long-lists", test_long_lists);
	return g_test_run();
}
