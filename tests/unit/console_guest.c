// SPDX-License-Identifier: MIT
#include "console_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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
	Guest *guest = owner;

	guest->ready_calls++;
	if (guest->at_ready)
		guest_put(guest, g_steal_pointer(&guest->at_ready));
}

static void on_quit(void *owner)
{
	((Guest *)owner)->quits++;
}

void guest_start(Guest *guest, int input, int output)
{
	ConsoleSinks sinks = {on_input, on_output_ready, on_quit, guest};
	g_autoptr(GError) error = NULL;

	*guest = (Guest){.got = g_string_new(NULL), .room = SIZE_MAX};
	guest->console = console_create(input, output, &sinks);
	console_start(guest->console, &error);
	g_assert_no_error(error);
}

void guest_finish(Guest *guest)
{
	console_destroy(guest->console);
	g_string_free(guest->got, TRUE);
}

void guest_put(Guest *guest, const char *text)
{
	g_assert_cmpuint(console_write(guest->console, (const uint8_t *)text, strlen(text)), ==,
			 strlen(text));
}

gboolean tick(gpointer owner G_GNUC_UNUSED)
{
	return G_SOURCE_CONTINUE;
}

void run_pending(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

void fd_put(int fd, const char *text)
{
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
}

int fd_available(int fd)
{
	int n = 0;

	ioctl(fd, FIONREAD, &n);
	return n;
}

char *fd_take(int fd)
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

void fd_assert(int fd, const char *expected)
{
	g_autofree char *text = fd_take(fd);

	g_assert_cmpstr(text, ==, expected);
}

void pipe_open(int fds[2])
{
	g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
}

void fds_close(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

void terminal_open(Terminal *terminal)
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

void terminal_close(Terminal *terminal)
{
	close(terminal->master);
	close(terminal->slave);
}

bool terminal_is_raw(const Terminal *terminal)
{
	struct termios now;

	g_assert_cmpint(tcgetattr(terminal->slave, &now), ==, 0);
	return !(now.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) && !(now.c_oflag & OPOST) &&
	       !(now.c_iflag & (ICRNL | INLCR | IXON));
}

bool terminal_is_as_found(const Terminal *terminal)
{
	struct termios now;

	g_assert_cmpint(tcgetattr(terminal->slave, &now), ==, 0);
	return now.c_iflag == terminal->found.c_iflag && now.c_oflag == terminal->found.c_oflag &&
	       now.c_cflag == terminal->found.c_cflag && now.c_lflag == terminal->found.c_lflag &&
	       memcmp(now.c_cc, terminal->found.c_cc, sizeof(now.c_cc)) == 0;
}

void terminal_type(Terminal *terminal, const char *keys)
{
	struct pollfd arrived = {.fd = terminal->slave, .events = POLLIN};

	fd_put(terminal->master, keys);
	g_assert_cmpint(poll(&arrived, 1, DEADLINE_US / 1000), ==, 1);
	run_until(fd_available(terminal->slave) == 0);
}
