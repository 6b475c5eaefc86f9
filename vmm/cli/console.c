// SPDX-License-Identifier: MIT
#include "cli/console.h"

#include "base/error.h"
#include "cli/console_output.h"
#include "cli/terminal.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define ESCAPE	  0x01 /* Ctrl-A */
#define READ_SIZE 256
#define TYPED_MAX 65536

/* Main thread only, but for `output` and `wake`. */
struct Console {
	ConsoleSinks sinks;
	ConsoleOutput *output;
	bool started;
	int wake; /* eventfd: the guest takes input again */
	int input;
	bool input_is_terminal;
	bool input_ended;
	bool escaped;	   /* the key before was the escape key */
	GByteArray *typed; /* for the guest, not yet taken */
	guint wake_source;
	guint input_source;
	guint background_source;
};

Console *console_create(int input, int output, const ConsoleSinks *sinks)
{
	Console *console = g_new0(Console, 1);

	console->sinks = *sinks;
	console->output = console_output_create(output, sinks->output_ready, sinks->owner);
	console->input = input;
	console->wake = -1;
	console->typed = g_byte_array_new();
	return console;
}

size_t console_write(void *owner, const uint8_t *data, size_t length)
{
	Console *console = owner;

	return console_output_write(console->output, data, length);
}

static void escape_quit(Console *console)
{
	console->sinks.quit(console->sinks.owner);
}

static void escape_send(Console *console)
{
	static const uint8_t key = ESCAPE;

	g_byte_array_append(console->typed, &key, 1);
}

static void escape_help(Console *console);

/* What may follow the escape key; anything else is swallowed with it. */
static const struct {
	uint8_t key;
	void (*act)(Console *console);
	const char *help; /* NULL: another key for the row above */
} escapes[] = {
	{'x', escape_quit, "x       end umbra; the guest is not asked"},
	{ESCAPE, escape_send, "Ctrl-A  send Ctrl-A to the guest"},
	{'a', escape_send, NULL},
	{'h', escape_help, "h       this help"},
	{'?', escape_help, NULL},
};

static void escape_help(Console *console)
{
	g_autoptr(GString) text = g_string_new("\r\nAfter Ctrl-A:\r\n");

	for (size_t i = 0; i < G_N_ELEMENTS(escapes); i++)
		if (escapes[i].help)
			g_string_append_printf(text, "  %s\r\n", escapes[i].help);
	console_write(console, (const uint8_t *)text->str, text->len);
}

static void escape_act(Console *console, uint8_t key)
{
	for (size_t i = 0; i < G_N_ELEMENTS(escapes); i++)
		if (escapes[i].key == key)
			escapes[i].act(console);
}

static void take_keys(Console *console, const uint8_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool command = console->escaped;

		console->escaped = !command && keys[i] == ESCAPE;
		if (command)
			escape_act(console, keys[i]);
		else if (!console->escaped && console->typed->len < TYPED_MAX)
			g_byte_array_append(console->typed, &keys[i], 1);
	}
}

/* Gives the guest what it takes. */
static void offer_input(Console *console)
{
	GByteArray *typed = console->typed;

	if (typed->len == 0)
		return;
	size_t taken = console->sinks.input(console->sinks.owner, typed->data, typed->len);

	g_byte_array_remove_range(typed, 0, (guint)taken);
}

static gboolean on_input(gint fd, GIOCondition condition, gpointer owner);
static gboolean on_background_check(gpointer owner);

/*
 * Reads on if nothing is left to give to the guest; from a terminal in any case.
 * In the background what is typed is another's, and no event tells of the return.
 */
static void watch_input(Console *console)
{
	if (console->input_ended || console->input_source || console->background_source)
		return;
	if (console->input_is_terminal && !terminal_ours())
		console->background_source = g_timeout_add_seconds(1, on_background_check, console);
	else if (console->input_is_terminal || console->typed->len == 0)
		console->input_source = g_unix_fd_add(console->input, G_IO_IN, on_input, console);
}

static gboolean on_background_check(gpointer owner)
{
	Console *console = owner;

	if (!terminal_ours())
		return G_SOURCE_CONTINUE;
	console->background_source = 0;
	watch_input(console);
	return G_SOURCE_REMOVE;
}

static void read_input(Console *console)
{
	uint8_t bytes[READ_SIZE];
	ssize_t n = read(console->input, bytes, sizeof(bytes));

	if (n > 0 && console->input_is_terminal)
		take_keys(console, bytes, (size_t)n);
	else if (n > 0)
		g_byte_array_append(console->typed, bytes, (guint)n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		console->input_ended = true;
	offer_input(console);
}

static gboolean on_input(gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
			 gpointer owner)
{
	Console *console = owner;

	console->input_source = 0;
	if (!console->input_is_terminal || terminal_ours())
		read_input(console);
	watch_input(console);
	return G_SOURCE_REMOVE;
}

void console_room(void *owner)
{
	Console *console = owner;
	uint64_t one = 1;

	/* Fails only before start, which offers by itself, or when 2^64 - 1 calls wait already. */
	if (write(console->wake, &one, sizeof(one)) < 0)
		return;
}

static gboolean on_wake(gint fd, GIOCondition condition G_GNUC_UNUSED, gpointer owner)
{
	Console *console = owner;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) > 0) {
		offer_input(console);
		watch_input(console);
	}
	return G_SOURCE_CONTINUE;
}

bool console_start(Console *console, GError **error)
{
	struct stat status;

	console->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (console->wake < 0)
		return umbra_fail_errno(error, errno, "cannot set up the console's input");
	signal(SIGPIPE, SIG_IGN);
	if (!console_output_start(console->output, error))
		return false;
	console->input_is_terminal = isatty(console->input);
	console->input_ended = fstat(console->input, &status) < 0;
	if (console->input_is_terminal && !terminal_enter(console->input, error))
		return false;
	console->started = true;
	console->wake_source = g_unix_fd_add(console->wake, G_IO_IN, on_wake, console);
	watch_input(console);
	return true;
}

/* After this neither the main loop nor the terminal knows of the input. */
static void detach(Console *console)
{
	g_clear_handle_id(&console->input_source, g_source_remove);
	g_clear_handle_id(&console->background_source, g_source_remove);
	g_clear_handle_id(&console->wake_source, g_source_remove);
	if (console->started && console->input_is_terminal)
		terminal_leave();
	console->started = false;
}

void console_stop(Console *console)
{
	if (!console->started)
		return;
	/* The terminal first: a user who waits for a stuck reader has the usual keys to end that.
	 */
	detach(console);
	console_output_stop(console->output);
}

void console_destroy(Console *console)
{
	if (!console)
		return;
	detach(console);
	console_output_destroy(console->output);
	if (console->wake >= 0)
		close(console->wake);
	g_byte_array_unref(console->typed);
	g_free(console);
}
