// SPDX-License-Identifier: MIT
/*
 * The terminal side of the guest's serial console.
 *
 * If the input is a terminal it is raw between console_start() and
 * console_stop() (or the end of the process, whichever way: cli/terminal.h),
 * and Ctrl-A is the escape key (Ctrl-A h lists what follows it). A pipe, a file
 * or /dev/null pass byte for byte; when they end, the guest goes on without
 * input. No byte of those is lost: what the guest does not take yet is kept,
 * and nothing more is read meanwhile. A terminal is always read, or the escape
 * key would be dead whenever the guest is; it keeps 64 KiB for a guest that
 * does not listen and drops what is typed beyond.
 *
 * Output never blocks a vCPU, and the caller's file descriptors keep their
 * flags: they may be shared with the user's shell. It is written by the line,
 * or after 5 ms, for fewer system calls than bytes.
 *
 * Locks: console_write() and console_room() are called with the bus lock held;
 * sinks are called without any lock of the console.
 */
#ifndef UMBRA_CLI_CONSOLE_H
#define UMBRA_CLI_CONSOLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All called from the main loop. */
typedef struct ConsoleSinks {
	/* Input for the guest: returns how many bytes it took; the rest is offered again. */
	size_t (*input)(void *owner, const uint8_t *data, size_t length);
	/* After console_write() took less than all: it takes bytes again. */
	void (*output_ready)(void *owner);
	/* The user pressed the escape key's x. */
	void (*quit)(void *owner);
	void *owner;
} ConsoleSinks;

typedef struct Console Console;

/* `input` and `output` stay the caller's; they need not be open. */
Console *console_create(int input, int output, const ConsoleSinks *sinks);
/* Gives the terminal back if console_stop() has not; calls no sink. Accepts NULL. */
void console_destroy(Console *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Console, console_destroy)

/*
 * Makes the terminal raw and begins to read input in the default main context.
 * Ignores SIGPIPE from now on. Once for each console, before the guest runs.
 */
bool console_start(Console *console, GError **error);

/*
 * Gives the terminal back as it was and writes what is still held back, calling
 * output_ready for what the device holds; gives up on a reader that has taken
 * nothing for two seconds. After the guest has ended.
 */
void console_stop(Console *console);

/*
 * SerialOutput.write: bytes for the output; from any thread, never blocks.
 * Returns how many were taken. A closed output swallows everything.
 */
size_t console_write(void *console, const uint8_t *data, size_t length);

/* serial_on_room: the guest has room for input again. From any thread. */
void console_room(void *console);

#endif
