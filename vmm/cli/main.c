// SPDX-License-Identifier: MIT
#include "cli/cli.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static const Command commands[] = {
	{"run", "boot a guest, console on the terminal", cmd_run},
	{"list", "the running guests", cmd_list},
	{"inspect", "a guest's CET state, decoded", cmd_inspect},
	{"set", "write CET registers of a paused guest", cmd_set},
	{"pause", "stop a guest's processors", cmd_pause},
	{"resume", "let a paused guest go on", cmd_resume},
	{"quit", "end a guest", cmd_quit},
	{"snapshot", "store a guest in a file", cmd_snapshot},
	{"restore", "let the guest of a snapshot go on", cmd_restore},
	{"migrate", "move a running guest to another umbra", cmd_migrate},
	{"backtrace", "a guest's call stack, read off its shadow stack", cmd_backtrace},
	{"check", "would a guest load here, or on the host described?", cmd_check},
	{"diff", "what two snapshots or guests differ in", cmd_diff},
	{"host", "what this host's KVM offers for CET, and why not more", cmd_host},
};

static void print_usage(FILE *to)
{
	fprintf(to, "Usage: umbra COMMAND [ARGUMENT…]\n\n"
		    "A KVM virtual machine monitor for guests that run with CET.\n\nCommands:\n");
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(to, "\n`umbra COMMAND --help` tells a command's options; umbra(1) tells all.\n");
}

/*
 * A file that is opened while one of the first three is closed takes its place,
 * and is then written to as if it were stdout or stderr.
 */
static void fill_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", O_RDWR);
}

int main(int argc, char **argv)
{
	fill_standard_files();
	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_TROUBLE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return EXIT_YES;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("umbra " UMBRA_VERSION);
		return EXIT_YES;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	return cli_trouble("no such command: %s (see umbra --help)", argv[1]);
}
