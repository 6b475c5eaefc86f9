// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "base/parse.h"

static void test_sizes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},	    {"4096", 4096},
		{"1K", 1024},	    {"512M", 536870912},
		{"2g", 2147483648}, {"16T", 17592186044416},
		{"0x1000", 4096},   {"18446744073709551615", UINT64_MAX},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GError) error = NULL;
		uint64_t bytes = 1;

		g_assert_true(parse_size("--memory", good[i].text, &bytes, &error));
		g_assert_no_error(error);
		g_assert_cmpuint(bytes, ==, good[i].bytes);
	}
}

static void test_bad_sizes(void)
{
	static const char *const bad[] = {
		"",
		"M",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1MB",
		"1.5G",
		"1KK",
		"0x",
		"1P",
		"x1",
		"18446744073709551616",
		"20000000000G",
		"1e3",
		"010 ",
		"0b1",
		"1,",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		uint64_t bytes = 7;

		g_test_message("%s", bad[i]);
		g_assert_false(parse_size("--memory", bad[i], &bytes, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
		g_assert_nonnull(strstr(error->message, "--memory"));
		g_assert_cmpuint(bytes, ==, 7);
	}
}

static void test_uint(void)
{
	g_autoptr(GError) error = NULL;
	uint64_t value = 0;

	g_assert_true(parse_uint("--cpus", "254", 1, 254, &value, &error));
	g_assert_cmpuint(value, ==, 254);
	g_assert_false(parse_uint("--cpus", "255", 1, 254, &value, &error));
	g_assert_cmpstr(error->message, ==, "--cpus: 255 is out of range: 1 to 254");
	g_clear_error(&error);
	g_assert_false(parse_uint("--cpus", "two", 1, 254, &value, &error));
	g_assert_cmpstr(error->message, ==, "--cpus: 'two' is not a number");
	g_clear_error(&error);
	g_assert_false(
		parse_uint("pl0_ssp", "0xffff800000000000000", 0, UINT64_MAX, &value, &error));
	g_assert_cmpstr(error->message, ==,
			"pl0_ssp: '0xffff800000000000000' does not fit in 64 bits");
	g_assert_cmpuint(value, ==, 254);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/parse/sizes", test_sizes);
	g_test_add_func("/parse/bad-sizes", test_bad_sizes);
	g_test_add_func("/parse/uint", test_uint);
	return g_test_run();
}
