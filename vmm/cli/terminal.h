// SPDX-License-Identifier: MIT
/*
 * The terminal's mode: raw while the guest has it, as it was found at any other
 * time. One terminal for each process.
 *
 * It is given back on every way out of the process but SIGKILL: terminal_leave(),
 * exit(), fatal signals (abort and crashes too), and while the process is stopped
 * (SIGTSTP; SIGCONT takes it again). A process in the background leaves the
 * terminal alone: it belongs to the shell or to another program then.
 */
#ifndef UMBRA_CLI_TERMINAL_H
#define UMBRA_CLI_TERMINAL_H

#include <glib.h>
#include <stdbool.h>

/*
 * Makes the terminal `fd` raw: every byte as typed, output as written. In the
 * background it stays as it is until terminal_ours() finds it in the foreground.
 * Also ignores SIGTTIN and SIGTTOU from now on: what would stop the whole guest
 * is an error (EIO) of the one call instead.
 */
bool terminal_enter(int fd, GError **error);

/* Whether this process is in the foreground. If so and not yet raw, makes it raw. */
bool terminal_ours(void);

/* Gives the terminal back. Nothing happens if it was not entered. */
void terminal_leave(void);

/*
 * What to print, and the exit status, should memory that was mapped from a file prove not to
 * be there any more (SIGBUS). `text` stays the caller's and must last as long as the process.
 */
void terminal_on_lost_memory(const char *text, int status);

#endif
