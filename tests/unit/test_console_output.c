// SPDX-License-Identifier: MIT
/* Output: in order, whole, and never in a vCPU's way. */
#include "console_guest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* A line comes at once, a prompt a little later, and bytes of one line in one piece. */
static void test_lines(void)
{
	int out[2];
	Guest guest;

	pipe_open(out);
	guest_start(&guest, -1, out[1]);
	guest_put(&guest, "one ");
	guest_put(&guest, "line\r");
	g_assert_cmpint(fd_available(out[0]), ==, 0);
	guest_put(&guest, "\n");
	fd_assert(out[0], "one line\r\n");
	guest_put(&guest, "login: ");
	run_until(fd_available(out[0]) == 7);
	fd_assert(out[0], "login: ");
	/* Held back at the end: it comes out all the same. */
	guest_put(&guest, "bye");
	console_stop(guest.console);
	fd_assert(out[0], "bye");
	g_assert_cmpint(fcntl(out[1], F_GETFL) & O_NONBLOCK, ==, 0);
	guest_finish(&guest);
	fds_close(out);
}

/* Before the start bytes are held; a console that never starts is destroyed. */
static void test_early(void)
{
	int out[2];
	ConsoleSinks sinks = {0}; /* none is called */
	Console *console = console_create(-1, -1, &sinks);

	console_destroy(console);
	pipe_open(out);
	console = console_create(-1, out[1], &sinks);
	g_assert_cmpuint(console_write(console, (const uint8_t *)"early\n", 6), ==, 6);
	console_room(console);
	g_assert_cmpint(fd_available(out[0]), ==, 0);
	g_assert_true(console_start(console, NULL));
	fd_assert(out[0], "early\n");
	console_destroy(console);
	console_destroy(NULL);
	fds_close(out);
}

/* From the given byte on; returns up to which byte it was taken. */
static size_t write_line(Guest *guest, unsigned number, size_t from)
{
	char line[16];

	g_snprintf(line, sizeof(line), "%07u\n", number);
	return from + console_write(guest->console, (const uint8_t *)line + from, 8 - from);
}

/* In bites, so that there is room for less than is held back. */
static gsize collect(int reader, GString *got)
{
	char bytes[1000];
	int available = fd_available(reader);

	if (available > 0) {
		ssize_t n = read(reader, bytes, MIN(sizeof(bytes), (size_t)available));

		g_assert_cmpint(n, >, 0);
		g_string_append_len(got, bytes, n);
	}
	return got->len;
}

/*
 * Lines until one is not taken as a whole, and on with it, of which `taken` bytes were;
 * how many are now. Of a terminal the kernel itself may take some more, a moment later.
 */
static size_t fill_up(Guest *guest, int writer, unsigned *sent, size_t taken)
{
	gint64 deadline = g_get_monotonic_time() + DEADLINE_US;

	do {
		guest->ready_calls = 0;
		if (taken < 8)
			taken = write_line(guest, *sent - 1, taken);
		while (taken == 8) {
			taken = write_line(guest, (*sent)++, 0);
			g_assert_cmpuint(*sent, <, 1000000);
		}
		run_pending();
		g_assert_cmpint(g_get_monotonic_time(), <, deadline);
	} while (isatty(writer) && (guest->ready_calls > 0 || g_main_context_pending(NULL)));
	g_assert_cmpuint(guest->ready_calls, ==, 0);
	return taken;
}

/*
 * The reader stops: nothing blocks (or this would hang), the guest is told to
 * wait and nothing spins meanwhile. It goes on: the guest is told so, and no
 * byte is lost or out of order.
 */
static void check_slow_reader(int reader, int writer)
{
	int flags = fcntl(writer, F_GETFL);
	g_autoptr(GString) got = g_string_new(NULL);
	unsigned sent = 0, received = 0;
	Guest guest;

	guest_start(&guest, -1, writer);
	for (unsigned round = 0; round < 3; round++) {
		size_t taken = fill_up(&guest, writer, &sent, 8);

		if (!isatty(writer))
			g_assert_false(g_main_context_pending(NULL));
		while (taken < 8) {
			g_assert_cmpuint(guest.ready_calls, ==, 0);
			run_until((collect(reader, got), guest.ready_calls > 0));
			guest.ready_calls = 0;
			taken = write_line(&guest, sent - 1, taken);
		}
		run_until(collect(reader, got) == 8 * (gsize)sent);
	}
	for (const char *at = got->str; *at; at += 8)
		g_assert_cmpuint(strtoul(at, NULL, 10), ==, received++);
	g_assert_cmpuint(received, ==, sent);
	g_assert_cmpint(fcntl(writer, F_GETFL), ==, flags);
	guest_finish(&guest);
}

static void test_slow_pipe(void)
{
	int out[2];

	pipe_open(out);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	check_slow_reader(out[0], out[1]);
	fds_close(out);
}

static void test_slow_socket(void)
{
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	check_slow_reader(pair[0], pair[1]);
	fds_close(pair);
}

/* As it is with raw input from the same terminal: what is written is what comes. */
static void open_raw(Terminal *terminal)
{
	struct termios raw;

	terminal_open(terminal);
	raw = terminal->found;
	cfmakeraw(&raw);
	tcsetattr(terminal->slave, TCSANOW, &raw);
}

static void test_slow_terminal(void)
{
	Terminal terminal;

	open_raw(&terminal);
	check_slow_reader(terminal.master, terminal.slave);
	terminal_close(&terminal);
}

/* Leaves `n` file descriptors that can still be opened; returns the limit as it was. */
static struct rlimit limit_files(unsigned n)
{
	struct rlimit before, limit;
	int spare[8];

	g_assert_cmpuint(n, <=, G_N_ELEMENTS(spare));
	for (unsigned i = 0; i < n; i++)
		spare[i] = dup(STDIN_FILENO);
	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = (rlim_t)spare[n - 1] + 1;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; i < n; i++)
		close(spare[i]);
	return before;
}

/* Without a second description (here: no descriptor is left for it) poll() says what fits. */
static void test_slow_polled(void)
{
	struct rlimit before;
	int out[2];
	Terminal terminal;

	/* The main context opens its own before the limit. */
	run_pending();
	pipe_open(out);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	open_raw(&terminal);
	before = limit_files(3); /* two eventfds and the timer */
	check_slow_reader(out[0], out[1]);
	check_slow_reader(terminal.master, terminal.slave);
	setrlimit(RLIMIT_NOFILE, &before);
	terminal_close(&terminal);
	fds_close(out);
}

/* Lines, and one that is not ended: all taken, whatever becomes of them. */
static void check_swallowed(int output)
{
	char text[1000];
	Guest guest;

	memset(text, 'x', sizeof(text));
	text[500] = '\n';
	guest_start(&guest, -1, output);
	for (unsigned i = 0; i < 100; i++)
		g_assert_cmpuint(console_write(guest.console, (const uint8_t *)text, sizeof(text)),
				 ==, sizeof(text));
	run_pending();
	console_stop(guest.console);
	guest_finish(&guest);
}

/* Nobody reads any more, or ever did: the guest does not notice. */
static void test_closed_output(void)
{
	int out[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC), closed = dup(0);

	close(closed);
	pipe_open(out);
	close(out[0]);
	check_swallowed(out[1]);
	check_swallowed(full);
	check_swallowed(closed);
	check_swallowed(-1);
	close(out[1]);
	close(full);
}

/* As many bytes as are taken before the guest has to wait. */
static size_t fill(Guest *guest)
{
	static const uint8_t text[1000] = "text";
	size_t n, sum = 0;

	do {
		n = console_write(guest->console, text, sizeof(text));
		sum += n;
	} while (n == sizeof(text));
	return sum;
}

/* The reader goes while the guest waits for it: the guest goes on. */
static void test_closed_while_waiting(void)
{
	int out[2];
	Guest guest;

	pipe_open(out);
	guest_start(&guest, -1, out[1]);
	fill(&guest);
	run_pending();
	g_assert_cmpuint(guest.ready_calls, ==, 0);
	close(out[0]);
	run_until(guest.ready_calls == 1);
	guest_put(&guest, "into the void\n");
	guest_finish(&guest);
	close(out[1]);
}

static gpointer read_all(gpointer data)
{
	GString *got = g_string_new(NULL);
	char bytes[1000];
	ssize_t n;

	while ((n = read(GPOINTER_TO_INT(data), bytes, sizeof(bytes))) > 0)
		g_string_append_len(got, bytes, n);
	return got;
}

/* The end of a guest whose reader is behind: all comes, with what the device still had. */
static void test_drained_at_stop(void)
{
	static const char last[] = "what the device still had";
	int out[2];
	Guest guest;
	size_t sum;
	GThread *reader;
	GString *got;

	pipe_open(out);
	guest_start(&guest, -1, out[1]);
	guest.at_ready = last;
	sum = fill(&guest);
	reader = g_thread_new("reader", read_all, GINT_TO_POINTER(out[0]));
	console_stop(guest.console);
	guest_finish(&guest);
	close(out[1]);
	got = g_thread_join(reader);
	g_assert_cmpuint(got->len, ==, sum + strlen(last));
	g_assert_cmpstr(got->str + sum, ==, last);
	g_string_free(got, TRUE);
	close(out[0]);
}

/* The end of a guest whose reader is stuck: bounded. */
static void test_stuck_at_stop(void)
{
	int out[2];
	Guest guest;
	gint64 start;

	pipe_open(out);
	guest_start(&guest, -1, out[1]);
	fill(&guest);
	start = g_get_monotonic_time();
	console_stop(guest.console);
	g_assert_cmpint(g_get_monotonic_time() - start, >=, 1900000);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 10000000);
	guest_finish(&guest);
	fds_close(out);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/console-output/lines", test_lines);
	g_test_add_func("/console-output/early", test_early);
	g_test_add_func("/console-output/slow-pipe", test_slow_pipe);
	g_test_add_func("/console-output/slow-socket", test_slow_socket);
	g_test_add_func("/console-output/slow-terminal", test_slow_terminal);
	g_test_add_func("/console-output/slow-polled", test_slow_polled);
	g_test_add_func("/console-output/closed-output", test_closed_output);
	g_test_add_func("/console-output/closed-while-waiting", test_closed_while_waiting);
	g_test_add_func("/console-output/drained-at-stop", test_drained_at_stop);
	g_test_add_func("/console-output/stuck-at-stop", test_stuck_at_stop);
	return g_test_run();
}
