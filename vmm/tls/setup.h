// SPDX-License-Identifier: MIT
/*
 * The time before data flow: it ends with one word to whoever started this
 * program, a line on stdout, "ok" or "error: …", and with nothing on stdout
 * after that. A thread of its own sees to it that the word comes in time and
 * that nobody works for a caller who is gone; so everything else may block.
 */
#ifndef UMBRA_TLS_SETUP_H
#define UMBRA_TLS_SETUP_H

#include <glib.h>
#include <stdbool.h>

/* All of the set-up: name look-up, connection, handshake, the other side's word. */
#define SETUP_SECONDS 10

typedef struct Setup Setup;

/* `plain` is the caller's socket: when it hangs up, the process ends. `peer` is for messages. */
Setup *setup_start(int plain, const char *peer);

/* What is being waited for, for the message if it takes too long; a constant string. */
void setup_doing(Setup *setup, const char *doing);

/* The two ends of it. The first frees `setup`, the second ends the process with status 2. */
void setup_done(Setup *setup);
G_NORETURN void setup_failed(Setup *setup, const GError *error);

/* "error: …" in one line, whatever is in `message`. */
void setup_print_error(const char *message);

#endif
