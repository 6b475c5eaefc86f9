// SPDX-License-Identifier: MIT
/* The command lines of `umbra run` and `umbra restore`: what is taken, and what is refused by name.
 */
#include "cli/run_options.h"

#include "base/error.h"
#include "base/layout.h"

#include <string.h>

typedef bool Parse(RunOptions *options, int argc, char **argv, GError **error);

/* `line`: the words behind the command. */
static bool parse(Parse *function, const char *command, const char *line, RunOptions *ret_options,
		  GError **error)
{
	g_autofree char *whole = g_strdup_printf("%s %s", command, line);
	g_auto(GStrv) words = g_strsplit(whole, " ", -1);
	int argc = (int)g_strv_length(words);
	/* The parser moves the words about; all of them are still to be freed. */
	g_autofree char **argv = g_memdup2(words, sizeof(*words) * (size_t)(argc + 1));

	*ret_options = (RunOptions){0};
	return function(ret_options, argc, argv, error);
}

static void test_run(void)
{
	g_auto(RunOptions) options;
	g_autoptr(GError) error = NULL;

	g_assert_true(parse(run_options_parse, "run",
			    "-k kernel --memory 2G --cpus 3 --cet off --name it", &options,
			    &error));
	g_assert_no_error(error);
	g_assert_cmpstr(options.config.kernel, ==, "kernel");
	g_assert_cmpuint(options.config.memory, ==, 2 * LAYOUT_GIB);
	g_assert_cmpuint(options.config.cpus, ==, 3);
	g_assert_cmpint(options.config.cet, ==, CET_POLICY_OFF);
	g_assert_cmpstr(options.config.cmdline, ==, "");
	g_assert_cmpstr(options.config.kvm_path, ==, "/dev/kvm");
	g_assert_cmpstr(options.session.control.name, ==, "it");
	g_assert_false(options.session.paused);
}

static void test_restore(void)
{
	g_auto(RunOptions) options;
	g_autoptr(GError) error = NULL;

	g_assert_true(parse(restore_options_parse, "restore",
			    "--paused file --qmp socket --kvm kvm --cet on", &options, &error));
	g_assert_no_error(error);
	g_assert_cmpstr(options.file, ==, "file");
	g_assert_true(options.session.paused);
	g_assert_cmpstr(options.session.control.qmp, ==, "socket");
	g_assert_cmpstr(options.config.kvm_path, ==, "kvm");
	g_assert_cmpint(options.config.cet, ==, CET_POLICY_ON);
}

static void test_refused(void)
{
	static const struct {
		Parse *function;
		const char *command, *line, *text;
	} rows[] = {
		{run_options_parse, "run", "--cpus 2", "--kernel"},
		{run_options_parse, "run", "-k x --cpus 0", "--cpus: 0 is out of range"},
		{run_options_parse, "run", "-k x --cpus 255", "--cpus: 255 is out of range"},
		{run_options_parse, "run", "-k x --memory 1X", "--memory: '1X' is not a size"},
		{run_options_parse, "run", "-k x --cet yes", "--cet: 'yes' is none of"},
		{run_options_parse, "run", "-k x y", "unexpected argument y"},
		{run_options_parse, "run", "-k x --paused", "--paused"},
		{restore_options_parse, "restore", "--paused", "an argument is missing"},
		{restore_options_parse, "restore", "a b", "unexpected argument b"},
		{restore_options_parse, "restore", "a --cet yes", "--cet: 'yes' is none of"},
		{restore_options_parse, "restore", "a --kernel x", "--kernel is not for restore"},
		{restore_options_parse, "restore", "a -k x", "-k is not for restore"},
		{restore_options_parse, "restore", "a --initrd x", "--initrd is not for restore"},
		{restore_options_parse, "restore", "a --initramfs x", "--initramfs is not for"},
		{restore_options_parse, "restore", "a --cmdline x", "--cmdline is not for"},
		{restore_options_parse, "restore", "a --append x", "--append is not for restore"},
		{restore_options_parse, "restore", "a --memory 1G", "--memory is not for restore"},
		{restore_options_parse, "restore", "a --cpu-like x", "--cpu-like is not for"},
		{run_options_parse, "run", "--incoming unix:x --cpu-like x",
		 "--cpu-like is not for --incoming"},
		{restore_options_parse, "restore", "a -p 2", "-p is not for restore: it is in"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(RunOptions) options;
		g_autoptr(GError) error = NULL;

		g_assert_false(
			parse(rows[i].function, rows[i].command, rows[i].line, &options, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
		if (!strstr(error->message, rows[i].text))
			g_error("'%s': '%s' is not in '%s'", rows[i].line, rows[i].text,
				error->message);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/run_options/run", test_run);
	g_test_add_func("/run_options/restore", test_restore);
	g_test_add_func("/run_options/refused", test_refused);
	return g_test_run();
}
