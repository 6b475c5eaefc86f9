// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "cli/console.h"
#include "dev/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_US (20 * G_USEC_PER_SEC)

/* A guest that takes `room` bytes of input, and a person at the other end. */
typedef struct Guest {
	Console *console;
	GString *got;
	size_t room;
	unsigned quits;
	unsigned ready_calls;
} Guest;

static size_t on_input(void *owner, const uint8_t *data, size_t length)
{
	Guest *guest = owner;
	size_t n = MIN(length, guest->room);

	g_string_append_len(guest->got, (const char *)data, (gssize)n);
	guest->room -= n;
	return n;
}

static void on_output_ready(void *owner)
{
	((Guest *)owner)->ready_calls++;
}

static void on_quit(void *owner)
{
	((Guest *)owner)->quits++;
}

static void guest_start(Guest *guest, int input, int output)
{
	ConsoleSinks sinks = {on_input, on_output_ready, on_quit, guest};
	g_autoptr(GError) error = NULL;

	*guest = (Guest){.got = g_string_new(NULL), .room = SIZE_MAX};
	guest->console = console_create(input, output, &sinks);
	console_start(guest->console, &error);
	g_assert_no_error(error);
}

static void guest_finish(Guest *guest)
{
	console_destroy(guest->console);
	g_string_free(guest->got, TRUE);
}

static gboolean wake_up(gpointer owner G_GNUC_UNUSED)
{
	return G_SOURCE_CONTINUE;
}

/* Runs the main loop until `condition`; the source is there so that the deadline is looked at. */
#define run_until(condition)                                                  \
	do {                                                                  \
		guint ticks = g_timeout_add(100, wake_up, NULL);              \
		gint64 deadline = g_get_monotonic_time() + DEADLINE_US;       \
		while (!(condition)) {                                        \
			g_assert_cmpint(g_get_monotonic_time(), <, deadline); \
			g_main_context_iteration(NULL, TRUE);                 \
		}                                                             \
		g_source_remove(ticks);                                       \
	} while (0)

/* All that the main loop has to do at once. */
static void run_pending(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void put(int fd, const char *text)
{
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
}

static void put_console(Guest *guest, const char *text)
{
	g_assert_cmpuint(console_write(guest->console, (const uint8_t *)text, strlen(text)), ==,
			 strlen(text));
}

/* Reads what is there now; -1 as length if the other end is closed. */
static char *take(int fd)
{
	GString *text = g_string_new(NULL);
	char bytes[4096];
	int available = 0;

	while (ioctl(fd, FIONREAD, &available) == 0 && available > 0) {
		ssize_t n = read(fd, bytes, MIN(sizeof(bytes), (size_t)available));

		g_assert_cmpint(n, >, 0);
		g_string_append_len(text, bytes, n);
	}
	return g_string_free(text, FALSE);
}

static void assert_taken(int fd, const char *expected)
{
	g_autofree char *text = take(fd);

	g_assert_cmpstr(text, ==, expected);
}

static int available(int fd)
{
	int n = 0;

	ioctl(fd, FIONREAD, &n);
	return n;
}

static void make_pipe(int fds[2])
{
	g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
}

static void close_both(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/*
 * Input
 */

static void test_pipe(void)
{
	int in[2], out[2];
	Guest guest;

	make_pipe(in);
	make_pipe(out);
	guest_start(&guest, in[0], out[1]);
	/* Byte for byte: no escape key here. */
	put(in[1], "hello \x01x\x01");
	run_until(guest.got->len == 9);
	g_assert_cmpstr(guest.got->str, ==, "hello \x01x\x01");
	g_assert_cmpuint(guest.quits, ==, 0);

	/* Its end ends nothing, and costs nothing from then on. */
	put(in[1], "last");
	close(in[1]);
	run_until(guest.got->len == 13);
	run_pending();
	g_assert_false(g_main_context_pending(NULL));
	g_assert_cmpuint(guest.quits, ==, 0);
	put_console(&guest, "alive\n");
	assert_taken(out[0], "alive\n");
	guest_finish(&guest);
	close(in[0]);
	close_both(out);
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

	make_pipe(in);
	guest_start(&guest, in[0], -1);
	guest.room = 0;
	for (unsigned i = 0; i < 10000; i++)
		g_string_append_printf(sent, "%u,", i);
	put(in[1], sent->str);
	run_until(available(in[0]) < (int)sent->len);
	run_pending();
	g_assert_cmpint(available(in[0]), >=, (int)sent->len - 256);
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
	close_both(in);
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

	put(file, "from a file");
	lseek(file, 0, SEEK_SET);
	make_pipe(out);
	close(closed);
	for (size_t i = 0; i < G_N_ELEMENTS(inputs); i++) {
		Guest guest;

		guest_start(&guest, inputs[i].fd, out[1]);
		run_until(guest.got->len == strlen(inputs[i].text));
		run_pending();
		g_assert_cmpstr(guest.got->str, ==, inputs[i].text);
		g_assert_false(g_main_context_pending(NULL));
		put_console(&guest, "on\n");
		assert_taken(out[0], "on\n");
		guest_finish(&guest);
		if (inputs[i].fd >= 0 && inputs[i].fd != closed)
			close(inputs[i].fd);
	}
	close_both(out);
	unlink(path);
}

/*
 * Terminals
 */

typedef struct Terminal {
	int master, slave;
	struct termios found;
} Terminal;

static void terminal_open(Terminal *terminal)
{
	g_assert_cmpint(openpty(&terminal->master, &terminal->slave, NULL, NULL, NULL), ==, 0);
	fcntl(terminal->master, F_SETFD, FD_CLOEXEC);
	fcntl(terminal->slave, F_SETFD, FD_CLOEXEC);
	/* Something that is not the default, to see that it comes back. */
	g_assert_cmpint(tcgetattr(terminal->slave, &terminal->found), ==, 0);
	terminal->found.c_cc[VERASE] = '#';
	terminal->found.c_lflag |= ICANON | ECHO | ISIG | IEXTEN;
	terminal->found.c_oflag |= OPOST | ONLCR;
	g_assert_cmpint(tcsetattr(terminal->slave, TCSANOW, &terminal->found), ==, 0);
	g_assert_cmpint(tcgetattr(terminal->slave, &terminal->found), ==, 0);
}

static void terminal_close(Terminal *terminal)
{
	close(terminal->master);
	close(terminal->slave);
}

static bool is_raw(const Terminal *terminal)
{
	struct termios now;

	g_assert_cmpint(tcgetattr(terminal->slave, &now), ==, 0);
	return !(now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) && !(now.c_oflag & OPOST) &&
	       !(now.c_iflag & (ICRNL | INLCR | IXON));
}

static bool is_as_found(const Terminal *terminal)
{
	struct termios now;

	g_assert_cmpint(tcgetattr(terminal->slave, &now), ==, 0);
	return now.c_iflag == terminal->found.c_iflag && now.c_oflag == terminal->found.c_oflag &&
	       now.c_cflag == terminal->found.c_cflag && now.c_lflag == terminal->found.c_lflag &&
	       memcmp(now.c_cc, terminal->found.c_cc, sizeof(now.c_cc)) == 0;
}

/* Types, and runs until it has been read: what is typed next comes with another read. */
static void type(Terminal *terminal, const char *keys)
{
	struct pollfd arrived = {.fd = terminal->slave, .events = POLLIN};

	put(terminal->master, keys);
	g_assert_cmpint(poll(&arrived, 1, DEADLINE_US / 1000), ==, 1);
	run_until(available(terminal->slave) == 0);
}

static void test_terminal(void)
{
	Terminal terminal;
	Guest guest;

	terminal_open(&terminal);
	for (unsigned round = 0; round < 2; round++) {
		g_assert_true(is_as_found(&terminal));
		guest_start(&guest, terminal.slave, terminal.slave);
		g_assert_true(is_raw(&terminal));
		g_assert_cmpint(fcntl(terminal.slave, F_GETFL) & O_NONBLOCK, ==, 0);
		/* Keys that a terminal would keep for itself: ^C ^Z ^S ^Q ^D ^\ CR */
		put(terminal.master, "\x03\x1a\x13\x11\x04\x1c\r");
		run_until(guest.got->len == 7);
		g_assert_cmpstr(guest.got->str, ==, "\x03\x1a\x13\x11\x04\x1c\r");
		put_console(&guest, "a\nb\r\n");
		run_until(available(terminal.master) == 5);
		assert_taken(terminal.master, "a\nb\r\n");
		/* Both ways of ending. */
		if (round == 0)
			console_stop(guest.console);
		else
			g_clear_pointer(&guest.console, console_destroy);
		g_assert_true(is_as_found(&terminal));
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

			type(&terminal, key);
		}
		put(terminal.master, ".");
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
	put(terminal.master, "\x01h");
	run_until(available(terminal.master) > 0);
	run_pending();

	g_autofree char *text = take(terminal.master);

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
		type(&terminal, keys);
	put(terminal.master, "\x01x");
	run_until(guest.quits == 1);
	guest.room = SIZE_MAX;
	console_room(guest.console);
	run_until(guest.got->len > 0);
	g_assert_cmpuint(guest.got->len, ==, 65536);
	guest_finish(&guest);
	terminal_close(&terminal);
}

/* A process of its own with the terminal as its controlling one, raw; its pid. */
static pid_t fork_on_terminal(Terminal *terminal, bool background)
{
	int started[2];
	char byte;
	pid_t pid;

	make_pipe(started);
	pid = fork();
	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		Guest guest;

		if (!background) {
			setsid();
			ioctl(terminal->slave, TIOCSCTTY, 1);
		} else {
			setpgid(0, 0);
		}
		guest_start(&guest, terminal->slave, terminal->slave);
		put(started[1], "s");
		/* 'e' ends it by exit(); signals do otherwise. */
		run_until(g_str_has_suffix(guest.got->str, "e"));
		exit(7);
	}
	g_assert_cmpint(read(started[0], &byte, 1), ==, 1);
	close_both(started);
	return pid;
}

static void wait_until_raw(const Terminal *terminal)
{
	gint64 deadline = g_get_monotonic_time() + DEADLINE_US;

	while (!is_raw(terminal)) {
		g_assert_cmpint(g_get_monotonic_time(), <, deadline);
		g_usleep(1000);
	}
}

static void test_fatal(void)
{
	static const int signals[] = {SIGQUIT, SIGABRT, SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct rlimit no_core = {0, 0};
	Terminal terminal;
	int status;

	terminal_open(&terminal);
	setrlimit(RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
		struct sigaction action;
		pid_t pid;

		sigaction(signals[i], NULL, &action);
		if (action.sa_handler != SIG_DFL) {
			g_test_message("not tried: signal %d has a handler (sanitizer)",
				       signals[i]);
			continue;
		}
		pid = fork_on_terminal(&terminal, false);
		g_assert_true(is_raw(&terminal));
		kill(pid, signals[i]);
		g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
		g_assert_true(WIFSIGNALED(status));
		g_assert_cmpint(WTERMSIG(status), ==, signals[i]);
		g_assert_true(is_as_found(&terminal));
	}
	terminal_close(&terminal);
}

static void test_exit(void)
{
	Terminal terminal;
	int status;

	terminal_open(&terminal);
	pid_t pid = fork_on_terminal(&terminal, false);

	g_assert_true(is_raw(&terminal));
	put(terminal.master, "e");
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	g_assert_true(is_as_found(&terminal));
	terminal_close(&terminal);
}

/* Stopped, the terminal is as it was; continued, it is raw again, even after SIGSTOP and a shell.
 */
static void test_stop_and_continue(void)
{
	static const int signals[] = {SIGTSTP, SIGSTOP};
	Terminal terminal;
	int status;

	terminal_open(&terminal);
	pid_t pid = fork_on_terminal(&terminal, false);

	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
		kill(pid, signals[i]);
		g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
		g_assert_true(WIFSTOPPED(status));
		if (signals[i] == SIGTSTP)
			g_assert_true(is_as_found(&terminal));
		tcsetattr(terminal.slave, TCSANOW, &terminal.found);
		kill(pid, SIGCONT);
		wait_until_raw(&terminal);
	}
	put(terminal.master, "e");
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status));
	g_assert_true(is_as_found(&terminal));
	terminal_close(&terminal);
}

/* The shell's part: a session whose foreground is first another's, then the guest's. */
static void session_leader(Terminal *terminal)
{
	int status;

	setsid();
	ioctl(terminal->slave, TIOCSCTTY, 1);
	signal(SIGTTOU, SIG_IGN);

	pid_t pid = fork_on_terminal(terminal, true);

	/* Neither stopped nor raw, and what is typed is not its own. */
	g_assert_true(is_as_found(terminal));
	put(terminal->master, "e\n");
	g_assert_cmpint(waitpid(pid, &status, WUNTRACED | WNOHANG), ==, 0);
	while (available(terminal->slave) != 2)
		g_usleep(1000);
	assert_taken(terminal->slave, "e\n");
	g_assert_cmpint(tcsetpgrp(terminal->slave, pid), ==, 0);
	wait_until_raw(terminal);
	put(terminal->master, "e");
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	g_assert_true(is_as_found(terminal));
	_exit(3);
}

static void test_background(void)
{
	Terminal terminal;
	int status;

	terminal_open(&terminal);
	pid_t pid = fork();

	if (pid == 0)
		session_leader(&terminal);
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	terminal_close(&terminal);
}

/*
 * Output
 */

/* A line comes at once, a prompt a little later, and bytes of one line in one piece. */
static void test_lines(void)
{
	int out[2];
	Guest guest;

	make_pipe(out);
	guest_start(&guest, -1, out[1]);
	put_console(&guest, "one ");
	put_console(&guest, "line\r");
	g_assert_cmpint(available(out[0]), ==, 0);
	put_console(&guest, "\n");
	assert_taken(out[0], "one line\r\n");
	put_console(&guest, "login: ");
	run_until(available(out[0]) == 7);
	assert_taken(out[0], "login: ");
	/* Held back at the end: it comes out all the same. */
	put_console(&guest, "bye");
	console_stop(guest.console);
	assert_taken(out[0], "bye");
	g_assert_cmpint(fcntl(out[1], F_GETFL) & O_NONBLOCK, ==, 0);
	guest_finish(&guest);
	close_both(out);
}

/* Before the start bytes are held; a console that never starts is destroyed. */
static void test_early(void)
{
	int out[2];
	ConsoleSinks sinks = {on_input, on_output_ready, on_quit, NULL};
	Console *console = console_create(-1, -1, &sinks);

	console_destroy(console);
	make_pipe(out);
	console = console_create(-1, out[1], &sinks);
	g_assert_cmpuint(console_write(console, (const uint8_t *)"early\n", 6), ==, 6);
	console_room(console);
	g_assert_cmpint(available(out[0]), ==, 0);
	g_assert_true(console_start(console, NULL));
	assert_taken(out[0], "early\n");
	console_destroy(console);
	console_destroy(NULL);
	close_both(out);
}

/*
 * The reader stops: nothing blocks (the alarm would end the test), the guest
 * is told to wait, no byte is lost, and the guest is told to go on.
 */
static void check_slow_reader(int reader, int writer)
{
	int flags = fcntl(writer, F_GETFL);
	g_autoptr(GString) got = g_string_new(NULL);
	unsigned sent = 0, received = 0;
	Guest guest;

	guest_start(&guest, -1, writer);
	for (unsigned round = 0; round < 3; round++) {
		char line[16];

		guest.ready_calls = 0;
		for (;;) {
			g_snprintf(line, sizeof(line), "%07u\n", sent);
			size_t n = console_write(guest.console, (const uint8_t *)line, 8);

			run_pending();
			if (n < 8) {
				/* What was taken of this line, as the device would keep the rest.
				 */
				g_string_append_len(got, line, 0);
				run_pending();
				g_assert_cmpuint(guest.ready_calls, ==, 0);
				g_assert_false(g_main_context_pending(NULL));
				while (n < 8) {
					g_autofree char *text = take(reader);

					g_string_append(got, text);
					run_until(guest.ready_calls > 0 || n == 8);
					n += console_write(guest.console, (const uint8_t *)line + n,
							   8 - n);
				}
				sent++;
				break;
			}
			sent++;
			g_assert_cmpuint(sent, <, 1000000);
		}
		g_assert_cmpuint(guest.ready_calls, >, 0);
		run_until(({
			g_autofree char *text = take(reader);
			g_string_append(got, text);
			got->len == 8 * (size_t)sent;
		}));
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

	make_pipe(out);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	check_slow_reader(out[0], out[1]);
	close_both(out);
}

static void test_slow_socket(void)
{
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	check_slow_reader(pair[0], pair[1]);
	close_both(pair);
}

static void test_slow_terminal(void)
{
	Terminal terminal;

	terminal_open(&terminal);
	/* As under the program's own raw input: the master reads what was written. */
	struct termios raw = terminal.found;

	cfmakeraw(&raw);
	tcsetattr(terminal.slave, TCSANOW, &raw);
	check_slow_reader(terminal.master, terminal.slave);
	terminal_close(&terminal);
}

/* Without a second description (here: no descriptor is left for it) poll() says what fits. */
static void test_slow_polled(void)
{
	struct rlimit before, limit;
	int out[2], spare;
	Terminal terminal;

	g_main_context_iteration(NULL, FALSE);
	make_pipe(out);
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	terminal_open(&terminal);
	struct termios raw = terminal.found;

	cfmakeraw(&raw);
	tcsetattr(terminal.slave, TCSANOW, &raw);
	spare = dup(0);
	close(spare);
	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = (rlim_t)spare + 3; /* two eventfds and the timer */
	setrlimit(RLIMIT_NOFILE, &limit);
	g_assert_cmpint(open("/proc/self/fd/0", O_RDONLY), ==, spare);
	close(spare);
	check_slow_reader(out[0], out[1]);
	check_slow_reader(terminal.master, terminal.slave);
	setrlimit(RLIMIT_NOFILE, &before);
	terminal_close(&terminal);
	close_both(out);
}

/* Nobody reads any more, or ever did: the guest does not notice. */
static void test_closed_output(void)
{
	int out[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[500] = '\n';
	make_pipe(out);
	for (unsigned way = 0; way < 4; way++) {
		Guest guest;

		if (way == 0)
			close(out[0]);
		guest_start(&guest, -1, way == 0 ? out[1] : way == 1 ? -1 : full);
		if (way == 3)
			put_console(&guest, "no line end");
		for (unsigned i = 0; i < 100; i++)
			g_assert_cmpuint(
				console_write(guest.console, (const uint8_t *)text, sizeof(text)),
				==, sizeof(text));
		run_pending();
		console_stop(guest.console);
		guest_finish(&guest);
	}
	close(out[1]);
	close(full);

	/* Closed while the guest waits for it. */
	Guest guest;

	make_pipe(out);
	guest_start(&guest, -1, out[1]);
	while (console_write(guest.console, (const uint8_t *)text, sizeof(text)) == sizeof(text))
		;
	run_pending();
	g_assert_cmpuint(guest.ready_calls, ==, 0);
	close(out[0]);
	run_until(guest.ready_calls == 1);
	g_assert_cmpuint(console_write(guest.console, (const uint8_t *)text, sizeof(text)), ==,
			 sizeof(text));
	guest_finish(&guest);
	close(out[1]);
}

/* The end of a guest whose reader is stuck: bounded. */
static void test_stuck_at_stop(void)
{
	static const uint8_t text[1000];
	int out[2];
	Guest guest;
	gint64 start;

	make_pipe(out);
	guest_start(&guest, -1, out[1]);
	while (console_write(guest.console, text, sizeof(text)) == sizeof(text))
		;
	start = g_get_monotonic_time();
	console_stop(guest.console);
	g_assert_cmpint(g_get_monotonic_time() - start, >=, 1900000);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 10000000);
	guest_finish(&guest);
	close_both(out);
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
	ConsoleSinks sinks = {echo_input, echo_ready, on_quit, &echo};
	GThread *threads[3];

	make_pipe(in);
	make_pipe(out);
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
	close_both(out);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		/* First: the others install signal handlers in this very process. */
		{"/console/exit", test_exit},
		{"/console/fatal", test_fatal},
		{"/console/stop-and-continue", test_stop_and_continue},
		{"/console/background", test_background},
		{"/console/pipe", test_pipe},
		{"/console/slow-guest", test_slow_guest},
		{"/console/no-input", test_no_input},
		{"/console/terminal", test_terminal},
		{"/console/escape", test_escape},
		{"/console/help", test_help},
		{"/console/dead-guest", test_dead_guest},
		{"/console/lines", test_lines},
		{"/console/early", test_early},
		{"/console/slow-pipe", test_slow_pipe},
		{"/console/slow-socket", test_slow_socket},
		{"/console/slow-terminal", test_slow_terminal},
		{"/console/slow-polled", test_slow_polled},
		{"/console/closed-output", test_closed_output},
		{"/console/stuck-at-stop", test_stuck_at_stop},
		{"/console/threads", test_threads},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add_func(tests[i].name, tests[i].run);
	return g_test_run();
}
