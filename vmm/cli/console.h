// SPDX-License-Identifier: MIT
/*
 * The terminal side of the guest's serial console.
 *
 * If stdin is a terminal it is raw between console_start() and console_stop()
 * (or the end of the process, whichever way). A pipe, a file or /dev/null work
 * as well; when they end, the guest goes on without input. Ctrl-A is the escape
 * key (Ctrl-A h lists what follows it).
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

Console *console_create(const ConsoleSinks *sinks);
/* Also stops. Accepts NULL. */
void console_destroy(Console *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Console, console_destroy)

/* Makes the terminal raw and begins to read stdin in the default main context. */
bool console_start(Console *console, GError **error);
/* Writes what is still held back (bounded in time) and gives the terminal back as it was. */
void console_stop(Console *console);

/*
 * SerialOutput.write: bytes for stdout; from any thread, never blocks. Returns
 * how many were taken. A closed stdout swallows everything.
 */
size_t console_write(void *console, const uint8_t *data, size_t length);

/* The guest has room for input again (serial_on_room): from any thread. */
void console_room(Console *console);

#endif
