// SPDX-License-Identifier: MIT
/* A guest at one end of a console and a person at the other, for the console's tests. */
#ifndef UMBRA_TESTS_CONSOLE_GUEST_H
#define UMBRA_TESTS_CONSOLE_GUEST_H

#include "cli/console.h"

#include <termios.h>

#define DEADLINE_US (20 * G_USEC_PER_SEC)

/* The guest takes `room` bytes of input; what it writes and when is the test's business. */
typedef struct Guest {
	Console *console;
	GString *got;
	size_t room;
	unsigned quits;
	unsigned ready_calls;
	const char *at_ready; /* written when output_ready is called, once */
} Guest;

void guest_start(Guest *guest, int input, int output);
void guest_finish(Guest *guest);
/* Writes a text, all of which has to be taken. */
void guest_put(Guest *guest, const char *text);

/* Runs the main loop until `condition`; tick() comes round so that the deadline is looked at. */
gboolean tick(gpointer owner);
#define run_until(condition)                                                  \
	do {                                                                  \
		guint ticks = g_timeout_add(5, tick, NULL);                   \
		gint64 deadline = g_get_monotonic_time() + DEADLINE_US;       \
		while (!(condition)) {                                        \
			g_assert_cmpint(g_get_monotonic_time(), <, deadline); \
			g_main_context_iteration(NULL, TRUE);                 \
		}                                                             \
		g_source_remove(ticks);                                       \
	} while (0)

/* All that the main loop has to do at once. */
void run_pending(void);

/* The person's end: writes a text; reads what is there now. */
void fd_put(int fd, const char *text);
char *fd_take(int fd);
void fd_assert(int fd, const char *expected);
int fd_available(int fd);

void pipe_open(int fds[2]);
void fds_close(int fds[2]);

/* A pseudo terminal with modes that are not the default, to see that they come back. */
typedef struct Terminal {
	int master, slave;
	struct termios found;
} Terminal;

void terminal_open(Terminal *terminal);
void terminal_close(Terminal *terminal);
bool terminal_is_raw(const Terminal *terminal);
bool terminal_is_as_found(const Terminal *terminal);
/* Types, and runs until it has been read: what is typed next comes with another read. */
void terminal_type(Terminal *terminal, const char *keys);

#endif
