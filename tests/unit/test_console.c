// SPDX-License-Identifier: MIT
/* Input: what is typed or piped in reaches the guest, and the escape key. */
#include "console_guest.h"
#include "dev/serial.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void test_pipe(void)
{
	int in[2], out[2];
	Guest guest;

	pipe_open(in);
	pipe_open(out);
	guest_start(&guest, in[0], out[1]);
	/* Byte for byte: no escape key here. */
	fd_put(in[1], "hello \x01x\x01");
	run_until(guest.got->len == 9);
	g_assert_cmpstr(guest.got->str, ==, "hello \x01x\x01");
	g_assert_cmpuint(guest.quits, ==, 0);

	/* Its end ends nothing, and costs nothing from then on. */
	fd_put(in[1], "last");
	close(in[1]);
	run_until(guest.got->len == 13);
	run_pending();
	g_assert_false(g_main_context_pending(NULL));
	g_assert_cmpuint(guest.quits, ==, 0);
	guest_put(&guest, "alive\n");
	fd_assert(out[0], "alive\n");
	guest_finish(&guest);
	close(in[0]);
	fds_close(out);
}

static gpointer say_room(gpointer console)
{
	console_room(console);
	return NULL;
}

/* What the guest does not take stays in the pipe but for one read, and comes in order. */
static void test_slow_guest(void)
{
	int in[2];
	Guest guest;
	g_autoptr(GString) sent = g_string_new(NULL);

	pipe_open(in);
	guest_start(&guest, in[0], -1);
	guest.room = 0;
	for (unsigned i = 0; i < 10000; i++)
		g_string_append_printf(sent, "%u,", i);
	fd_put(in[1], sent->str);
	run_until(fd_available(in[0]) < (int)sent->len);
	run_pending();
	g_assert_cmpint(fd_available(in[0]), >=, (int)sent->len - 256);
	g_assert_false(g_main_context_pending(NULL));
	g_assert_cmpuint(guest.got->len, ==, 0);

	for (unsigned step = 1; guest.got->len < sent->len; step++) {
		size_t wanted = MIN(guest.got->len + step * 7, sent->len);
		GThread *thread;

		guest.room = wanted - guest.got->len;
		thread = g_thread_new("vcpu", say_room, guest.console);
		run_until(guest.got->len == wanted);
		g_thread_join(thread);
	}
	g_assert_cmpstr(guest.got->str, ==, sent->str);
	guest_finish(&guest);
	fds_close(in);
}

static void test_no_input(void)
{
	g_autofree char *path = g_build_filename(g_get_tmp_dir(), "umbra-test-XXXXXX", NULL);
	int file = g_mkstemp(path);
	int closed = dup(0), out[2];
	struct {
		int fd;
		const char *text;
	} inputs[] = {{open("/dev/null", O_RDONLY | O_CLOEXEC), ""},
		      {file, "from a file"},
		      {open("/", O_RDONLY | O_CLOEXEC), ""},
		      {closed, ""},
		      {-1, ""}};

	fd_put(file, "from a file");
	lseek(file, 0, SEEK_SET);
	pipe_open(out);
	close(closed);
	for (size_t i = 0; i < G_N_ELEMENTS(inputs); i++) {
		Guest guest;

		guest_start(&guest, inputs[i].fd, out[1]);
		run_until(guest.got->len == strlen(inputs[i].text));
		run_pending();
		g_assert_cmpstr(guest.got->str, ==, inputs[i].text);
		g_assert_false(g_main_context_pending(NULL));
		guest_put(&guest, "on\n");
		fd_assert(out[0], "on\n");
		guest_finish(&guest);
		if (inputs[i].fd >= 0 && inputs[i].fd != closed)
			close(inputs[i].fd);
	}
	fds_close(out);
	unlink(path);
}

static void test_terminal(void)
{
	Terminal terminal;
	Guest guest;

	terminal_open(&terminal);
	for (unsigned round = 0; round < 2; round++) {
		g_assert_true(terminal_is_as_found(&terminal));
		guest_start(&guest, terminal.slave, terminal.slave);
		g_assert_true(terminal_is_raw(&terminal));
		g_assert_cmpint(fcntl(terminal.slave, F_GETFL) & O_NONBLOCK, ==, 0);
		/* Keys that a terminal would keep for itself: ^C ^Z ^S ^Q ^D ^\ CR */
		fd_put(terminal.master, "\x03\x1a\x13\x11\x04\x1c\r");
		run_until(guest.got->len == 7);
		g_assert_cmpstr(guest.got->str, ==, "\x03\x1a\x13\x11\x04\x1c\r");
		guest_put(&guest, "a\nb\r\n");
		run_until(fd_available(terminal.master) == 5);
		fd_assert(terminal.master, "a\nb\r\n");
		/* Both ways of ending. */
		if (round == 0)
			console_stop(guest.console);
		else
			g_clear_pointer(&guest.console, console_destroy);
		g_assert_true(terminal_is_as_found(&terminal));
		guest_finish(&guest);
	}
	terminal_close(&terminal);
}

static void test_escape(void)
{
	static const struct {
		const char *keys, *guest;
		unsigned quits;
	} rows[] = {
		{"ab", "ab", 0},
		{"a\x01xb", "ab", 1},
		{"\x01\x01x", "\x01x", 0},
		{"\x01"
		 "ax",
		 "\x01x", 0},
		{"\x01zb", "b", 0},
		{"\x01X", "", 0},
		{"\x01\x01\x01x", "\x01", 1},
	};
	Terminal terminal;

	terminal_open(&terminal);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		Guest guest;

		guest_start(&guest, terminal.slave, terminal.slave);
		/* Key by key, so that each comes with a read of its own; '.' says that all is read.
		 */
		for (const char *at = rows[i].keys; *at; at++) {
			char key[] = {*at, 0};

			terminal_type(&terminal, key);
		}
		fd_put(terminal.master, ".");
		run_until(g_str_has_suffix(guest.got->str, "."));
		g_string_truncate(guest.got, guest.got->len - 1);
		g_assert_cmpstr(guest.got->str, ==, rows[i].guest);
		g_assert_cmpuint(guest.quits, ==, rows[i].quits);
		guest_finish(&guest);
	}
	terminal_close(&terminal);
}

static void test_help(void)
{
	Terminal terminal;
	Guest guest;

	terminal_open(&terminal);
	guest_start(&guest, terminal.slave, terminal.slave);
	fd_put(terminal.master, "\x01h");
	run_until(fd_available(terminal.master) > 0);
	run_pending();

	g_autofree char *text = fd_take(terminal.master);

	g_assert_nonnull(strstr(text, "Ctrl-A"));
	g_assert_nonnull(strstr(text, "x "));
	/* Raw: each line needs its own carriage return. */
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		g_assert_cmpint(at[-1], ==, '\r');
	g_assert_cmpuint(guest.got->len, ==, 0);
	guest_finish(&guest);
	terminal_close(&terminal);
}

/* A dead guest takes nothing: the escape key works all the same, and early keys are kept. */
static void test_dead_guest(void)
{
	Terminal terminal;
	Guest guest;
	char keys[1001];

	terminal_open(&terminal);
	guest_start(&guest, terminal.slave, terminal.slave);
	guest.room = 0;
	memset(keys, 'k', sizeof(keys) - 1);
	keys[sizeof(keys) - 1] = 0;
	for (unsigned i = 0; i < 100; i++)
		terminal_type(&terminal, keys);
	fd_put(terminal.master, "\x01x");
	run_until(guest.quits == 1);
	guest.room = SIZE_MAX;
	console_room(guest.console);
	run_until(guest.got->len > 0);
	g_assert_cmpuint(guest.got->len, ==, 65536);
	guest_finish(&guest);
	terminal_close(&terminal);
}

/*
 * The whole way, with threads: stdin pipe → console → serial port → a vCPU that
 * echoes by polling → console → stdout pipe, whose reader is slow.
 */
typedef struct Echo {
	IoBus *bus;
	Serial *serial;
	Console *console;
	int in, out; /* the person's ends */
	gint done;
	GString *received;
} Echo;

#define ECHO_BYTES   60000
#define ECHO_TEXT(i) ((uint8_t)('a' + (i) % 23))

static uint8_t port_in(Echo *echo, uint16_t port)
{
	uint8_t value;

	io_bus_access(echo->bus, IO_SPACE_PORT, port, false, &value, 1);
	return value;
}

static void port_out(Echo *echo, uint16_t port, uint8_t value)
{
	io_bus_access(echo->bus, IO_SPACE_PORT, port, true, &value, 1);
}

static gpointer echo_vcpu(gpointer data)
{
	Echo *echo = data;

	port_out(echo, 0x3fa, 0x07);
	port_out(echo, 0x3fc, 0x0b);
	for (unsigned i = 0; i < ECHO_BYTES; i++) {
		while (!(port_in(echo, 0x3fd) & 0x01))
			g_thread_yield();

		uint8_t byte = port_in(echo, 0x3f8);

		while (!(port_in(echo, 0x3fd) & 0x20))
			g_thread_yield();
		port_out(echo, 0x3f8, byte);
	}
	return NULL;
}

static gpointer echo_type(gpointer data)
{
	Echo *echo = data;

	for (unsigned i = 0; i < ECHO_BYTES; i++) {
		uint8_t byte = ECHO_TEXT(i);

		g_assert_cmpint(write(echo->in, &byte, 1), ==, 1);
	}
	close(echo->in);
	return NULL;
}

static gpointer echo_read(gpointer data)
{
	Echo *echo = data;
	char bytes[509];

	while (echo->received->len < ECHO_BYTES) {
		ssize_t n = read(echo->out, bytes, sizeof(bytes));

		g_assert_cmpint(n, >, 0);
		g_string_append_len(echo->received, bytes, n);
	}
	g_atomic_int_set(&echo->done, 1);
	g_main_context_wakeup(NULL);
	return NULL;
}

static size_t echo_input(void *owner, const uint8_t *data, size_t length)
{
	Echo *echo = owner;

	io_bus_lock(echo->bus);
	size_t n = serial_receive(echo->serial, data, length);

	io_bus_unlock(echo->bus);
	return n;
}

static void echo_ready(void *owner)
{
	Echo *echo = owner;

	io_bus_lock(echo->bus);
	serial_output_ready(echo->serial);
	io_bus_unlock(echo->bus);
}

static void no_irq(void *owner G_GNUC_UNUSED, unsigned gsi G_GNUC_UNUSED, bool level G_GNUC_UNUSED)
{
}

static void test_threads(void)
{
	int in[2], out[2];
	Echo echo = {.bus = io_bus_create(), .received = g_string_new(NULL)};
	ConsoleSinks sinks = {.input = echo_input, .output_ready = echo_ready, .owner = &echo};
	GThread *threads[3];

	pipe_open(in);
	pipe_open(out);
	fcntl(in[1], F_SETPIPE_SZ, 4096);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	echo.in = in[1];
	echo.out = out[0];
	echo.console = console_create(in[0], out[1], &sinks);
	echo.serial = serial_create((IrqSink){no_irq, NULL}, 4,
				    (SerialOutput){console_write, echo.console});
	serial_attach(echo.serial, echo.bus, 0x3f8);
	serial_on_room(echo.serial, console_room, echo.console);
	g_assert_true(console_start(echo.console, NULL));
	threads[0] = g_thread_new("vcpu", echo_vcpu, &echo);
	threads[1] = g_thread_new("typist", echo_type, &echo);
	threads[2] = g_thread_new("reader", echo_read, &echo);
	run_until(g_atomic_int_get(&echo.done));
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	for (unsigned i = 0; i < ECHO_BYTES; i++)
		g_assert_cmphex((uint8_t)echo.received->str[i], ==, ECHO_TEXT(i));
	console_stop(echo.console);
	serial_destroy(echo.serial);
	console_destroy(echo.console);
	io_bus_destroy(echo.bus);
	g_string_free(echo.received, TRUE);
	close(in[0]);
	fds_close(out);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/console/pipe", test_pipe);
	g_test_add_func("/console/slow-guest", test_slow_guest);
	g_test_add_func("/console/no-input", test_no_input);
	g_test_add_func("/console/terminal", test_terminal);
	g_test_add_func("/console/escape", test_escape);
	g_test_add_func("/console/help", test_help);
	g_test_add_func("/console/dead-guest", test_dead_guest);
	g_test_add_func("/console/threads", test_threads);
	return g_test_run();
}
