// SPDX-License-Identifier: MIT
/*
 * The commands. One file each; only this folder speaks to a person and decides
 * exit statuses.
 */
#ifndef UMBRA_CLI_CLI_H
#define UMBRA_CLI_CLI_H

#include <glib.h>
#include <stdbool.h>

/* Exit statuses (umbra(1), EXIT STATUS). */
enum {
	EXIT_YES = 0,	       /* done, or the answer is yes */
	EXIT_NO = 1,	       /* the answer is no: incompatible, different, not there */
	EXIT_TROUBLE = 2,      /* usage, or something failed */
	EXIT_CANNOT_GO_ON = 5, /* a guest could not go on; 3 and 4: see session.c */
};

typedef struct Command {
	const char *name;
	const char *summary;
	/* argv[0] is the command's name. */
	int (*run)(int argc, char **argv);
} Command;

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_host(int argc, char **argv);
int cmd_backtrace(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_quit(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_restore(int argc, char **argv);

/* Prints "umbra: MESSAGE" to stderr and returns EXIT_TROUBLE. */
int cli_trouble(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The same for what is no reason to give up. */
void cli_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);
/*
 * What a command ends with whose output is its answer: `status`, or trouble if standard output
 * did not take all of it.
 */
int cli_answered(const char *command, int status);
/* A path as another process finds it too; g_free. */
char *cli_absolute_path(const char *path);

/* Prints an error's message; returns the exit status that it means. */
int cli_error(const GError *error);

/*
 * Parses a command's options: `usage` is what follows the command's name
 * beside options ("": nothing), and `positional` how many arguments must remain (including argv[0];
 * negative: at least so many); anything else is a usage error. Handles --help (prints, exits 0).
 */
bool cli_parse(int *argc, char ***argv, const GOptionEntry *options, const char *usage,
	       const char *description, int positional, GError **error);

#endif
