// SPDX-License-Identifier: MIT
/*
 * The output half of the console: bytes from vCPU threads to a descriptor that
 * may be slow, closed, and shared with the user's shell. Nothing here blocks
 * but console_output_stop(), and no flag of the shared description is changed.
 */
#ifndef UMBRA_CLI_CONSOLE_OUTPUT_H
#define UMBRA_CLI_CONSOLE_OUTPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ConsoleOutput ConsoleOutput;

/* `ready` is called from the main loop, without a lock, after a write took less than all. */
ConsoleOutput *console_output_create(int fd, void (*ready)(void *owner), void *owner);
/* Calls `ready` no more. Accepts NULL. */
void console_output_destroy(ConsoleOutput *output);

/* Begins to write; until then bytes are only held. */
bool console_output_start(ConsoleOutput *output, GError **error);

/*
 * Any thread. Returns how many bytes were taken: all of them, unless the reader
 * is behind by PIPE_BUF. What nobody can ever read (a closed pipe, a full disk)
 * is taken and dropped.
 */
size_t console_output_write(ConsoleOutput *output, const uint8_t *data, size_t length);

/*
 * Writes all that is held, calling `ready` for more, until there is no more or
 * the reader has taken nothing for two seconds.
 */
void console_output_stop(ConsoleOutput *output);

#endif
