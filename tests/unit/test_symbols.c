// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "inspect/backtrace_view.h"

#include <string.h>
#include <unistd.h>

static char *write_file(const char *content, size_t length)
{
	char *path = NULL;
	int fd = g_file_open_tmp("umbra-symbols-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, content, length), ==, (ssize_t)length);
	close(fd);
	return path;
}

static void assert_name(Symbols *symbols, uint64_t address, const char *expected)
{
	g_autofree char *name = symbols_name(symbols, address);

	g_assert_cmpstr(name, ==, expected);
}

static void test_system_map(void)
{
	static const char map[] = "ffffffff81000000 T _text\n"
				  "ffffffff81000100 t do_it\n"
				  "ffffffff81000180 D data\n"
				  "ffffffff83000000 T far_away\n";
	g_autofree char *path = write_file(map, sizeof(map) - 1);
	g_autoptr(Symbols) symbols = symbols_create();

	g_assert_true(symbols_add_file(symbols, path, 0, NULL));
	assert_name(symbols, 0xffffffff81000000, "_text+0x0");
	assert_name(symbols, 0xffffffff810001ff, "do_it+0xff");
	assert_name(symbols, 0xffffffff80ffffff, NULL);
	assert_name(symbols, 0xffffffff82f00000, NULL);
	unlink(path);
}

static void test_perf_map(void)
{
	static const char map[] = "7f0000001000 40 jit one\n7f0000001040 10 jit::two\n";
	g_autofree char *path = write_file(map, sizeof(map) - 1);
	g_autoptr(Symbols) symbols = symbols_create();

	g_assert_true(symbols_add_file(symbols, path, 0x1000, NULL));
	assert_name(symbols, 0x7f000000203f, "jit one+0x3f");
	assert_name(symbols, 0x7f0000002040, "jit::two+0x0");
	assert_name(symbols, 0x7f0000002050, NULL);
	unlink(path);
}

/* This very program has a symbol table, and the linker knows where test_elf is. */
static void test_elf(void)
{
	g_autoptr(Symbols) symbols = symbols_create();
	g_autoptr(GError) error = NULL;
	extern const char __executable_start;

	g_assert_true(symbols_add_file(symbols, "/proc/self/exe", (uintptr_t)&__executable_start,
				       &error));
	assert_name(symbols, (uintptr_t)test_elf, "test_elf+0x0");
	assert_name(symbols, (uintptr_t)test_elf + 1, "test_elf+0x1");
}

static void test_refused(void)
{
	g_autofree char *self = NULL;
	size_t length;
	g_autoptr(Symbols) symbols = symbols_create();

	g_assert_true(g_file_get_contents("/proc/self/exe", &self, &length, NULL));
	/* Cut anywhere: refused or fewer names, never a read outside of the file. */
	for (size_t cut = 0; cut < length; cut += cut < 512 ? 7 : 4099) {
		g_autofree char *path = write_file(self, cut);

		(void)symbols_add_file(symbols, path, 0, NULL);
		unlink(path);
	}
	/* Section headers that point anywhere. */
	memset(self + 0x28, 0xff, 8);
	g_autofree char *path = write_file(self, length);
	g_autoptr(GError) error = NULL;

	g_assert_false(symbols_add_file(symbols, path, 0, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	unlink(path);
	g_clear_error(&error);
	g_assert_false(symbols_add_file(symbols, "/dev/null/none", 0, &error));
	g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_FAILED);
}

static void test_view(void)
{
	static const char map[] = "0000000000401000 T caller\n0000000000402000 T callee\n";
	g_autofree char *path = write_file(map, sizeof(map) - 1);
	g_autoptr(Symbols) symbols = symbols_create();
	g_autoptr(Backtrace) backtrace = backtrace_create();
	g_autoptr(GError) error = NULL;
	const ShadowStackEntry entries[] = {
		/* The byte after a call that never returns is another function's. */
		{0x7f0000000ff0, 0x402000, SHADOW_STACK_RETURN},
		{0x7f0000000ff8, 0x7f0000001001, SHADOW_STACK_RESTORE_TOKEN},
	};

	g_assert_true(symbols_add_file(symbols, path, 0, NULL));
	backtrace->vcpu = 1;
	backtrace->cpl = 3;
	backtrace->from = CET_GUEST_SSP;
	backtrace->ssp = 0x7f0000000ff0;
	backtrace->end = SHADOW_STACK_END_UNMAPPED;
	backtrace->end_at = 0x7f0000001000;
	g_array_append_vals(backtrace->frames, entries, 2);

	g_autoptr(json_object) json = backtrace_to_json(backtrace, symbols);

	g_assert_cmpstr(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN), ==,
			"{\"id\":1,\"cpl\":3,\"from\":\"guest_ssp\",\"ssp\":\"0x7f0000000ff0\","
			"\"frames\":[{\"at\":\"0x7f0000000ff0\",\"value\":\"0x402000\","
			"\"kind\":\"return\",\"symbol\":\"caller+0x1000\"},"
			"{\"at\":\"0x7f0000000ff8\",\"value\":\"0x7f0000001001\","
			"\"kind\":\"restore-token\"}],"
			"\"end\":{\"reason\":\"unmapped\",\"at\":\"0x7f0000001000\"}}");

	g_autoptr(Backtrace) back = backtrace_from_json(json, &error);

	g_assert_no_error(error);
	g_assert_cmpuint(back->frames->len, ==, 2);
	for (unsigned i = 0; i < 2; i++) {
		const ShadowStackEntry *entry = &g_array_index(back->frames, ShadowStackEntry, i);

		g_assert_cmphex(entry->at, ==, entries[i].at);
		g_assert_cmphex(entry->value, ==, entries[i].value);
		g_assert_cmpint(entry->kind, ==, entries[i].kind);
	}
	g_assert_cmphex(back->end_at, ==, backtrace->end_at);
	unlink(path);
}

static void test_no_backtrace(void)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"3",
		"{\"id\":-1}",
		"{\"id\":0,\"cpl\":3,\"from\":\"rsp\",\"ssp\":\"0x0\",\"frames\":[],"
		"\"end\":{\"reason\":\"limit\",\"at\":\"0x0\"}}",
		"{\"id\":0,\"cpl\":3,\"from\":\"guest_ssp\",\"ssp\":\"0x0\",\"frames\":[7],"
		"\"end\":{\"reason\":\"limit\",\"at\":\"0x0\"}}",
		"{\"id\":0,\"cpl\":3,\"from\":\"guest_ssp\",\"ssp\":\"0x10000000000000000\","
		"\"frames\":[],\"end\":{\"reason\":\"limit\",\"at\":\"0x0\"}}",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(json_object) json = json_tokener_parse(bad[i]);
		g_autoptr(GError) error = NULL;

		g_assert_null(backtrace_from_json(json, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/symbols/system-map", test_system_map);
	g_test_add_func("/symbols/perf-map", test_perf_map);
	g_test_add_func("/symbols/elf", test_elf);
	g_test_add_func("/symbols/refused", test_refused);
	g_test_add_func("/backtrace/view", test_view);
	g_test_add_func("/backtrace/no-backtrace", test_no_backtrace);
	return g_test_run();
}
