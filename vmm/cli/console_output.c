// SPDX-License-Identifier: MIT
#include "cli/console_output.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define FLUSH_DELAY_NS	5000000
#define STOP_TIMEOUT_MS 2000

struct ConsoleOutput {
	void (*ready)(void *owner);
	void *owner;

	/* Where to, and how a write is kept from blocking. Fixed after start. */
	int fd;
	bool reopened;	/* a description of our own, with O_NONBLOCK */
	bool is_socket; /* MSG_DONTWAIT does it */
	size_t chunk;	/* otherwise: what surely fits once poll() says that something does */

	/* Any thread, under the lock. */
	GMutex lock;
	uint8_t held[PIPE_BUF];
	size_t n_held;
	bool blocked; /* the reader takes nothing, or is not there yet: the main loop sees to it */
	bool refused; /* the device waits for `ready` */
	int wake;     /* eventfd: the main loop has to look at `blocked` */
	int timer;    /* timerfd: a line was not ended */

	/* Main thread only. */
	guint wake_source;
	guint timer_source;
	guint writable_source;
};

ConsoleOutput *console_output_create(int fd, void (*ready)(void *owner), void *owner)
{
	ConsoleOutput *output = g_new0(ConsoleOutput, 1);

	output->ready = ready;
	output->owner = owner;
	output->fd = fd;
	output->blocked = true; /* until start */
	output->wake = -1;
	output->timer = -1;
	g_mutex_init(&output->lock);
	return output;
}

/* Pipes and terminals can be opened a second time, which gives flags of our own. */
static void choose_way(ConsoleOutput *output)
{
	struct stat status;
	bool is_terminal = isatty(output->fd);

	/* A terminal counts as writable as soon as it has room for one byte. */
	output->chunk = is_terminal ? 1 : PIPE_BUF;
	if (fstat(output->fd, &status) < 0)
		return;
	output->is_socket = S_ISSOCK(status.st_mode);
	if (!is_terminal && !S_ISFIFO(status.st_mode))
		return;

	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", output->fd);
	int again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (again < 0)
		return;
	output->fd = again;
	output->reopened = true;
}

static bool wait_writable(const ConsoleOutput *output, int timeout_ms)
{
	struct pollfd item = {.fd = output->fd, .events = POLLOUT};

	/* An error counts as writable: the write will name it. poll() is silent on -1. */
	return output->fd < 0 || poll(&item, 1, timeout_ms) != 0;
}

/* write(), as if the descriptor had O_NONBLOCK. */
static ssize_t write_some(const ConsoleOutput *output, const uint8_t *data, size_t length)
{
	if (output->is_socket)
		return send(output->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (output->reopened)
		return write(output->fd, data, length);
	if (!wait_writable(output, 0)) {
		errno = EAGAIN;
		return -1;
	}
	return write(output->fd, data, MIN(length, output->chunk));
}

/*
 * Writes what is held. After an error that is not about waiting nobody will ever
 * read these bytes: they are dropped, and the guest goes on. Lock held.
 */
static void flush(ConsoleOutput *output)
{
	size_t done = 0;

	while (done < output->n_held && !output->blocked) {
		ssize_t n = write_some(output, output->held + done, output->n_held - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			output->blocked = true;
		else if (errno != EINTR)
			done = output->n_held;
	}
	output->n_held -= done;
	memmove(output->held, output->held + done, output->n_held);
}

static void wake_main_loop(ConsoleOutput *output)
{
	uint64_t one = 1;

	/* Fails only when 2^64 - 1 wake-ups wait already. */
	if (write(output->wake, &one, sizeof(one)) < 0)
		return;
}

static void start_timer(ConsoleOutput *output)
{
	static const struct itimerspec delay = {.it_value.tv_nsec = FLUSH_DELAY_NS};

	timerfd_settime(output->timer, 0, &delay, NULL);
}

static size_t hold(ConsoleOutput *output, const uint8_t *data, size_t length)
{
	size_t n = MIN(length, sizeof(output->held) - output->n_held);

	memcpy(output->held + output->n_held, data, n);
	output->n_held += n;
	return n;
}

/*
 * A byte that begins a line starts the timer, the end of the line writes it: in
 * a flow of lines the timer is put off again and again and never fires.
 */
static size_t write_locked(ConsoleOutput *output, const uint8_t *data, size_t length)
{
	bool was_empty = output->n_held == 0;
	bool was_blocked = output->blocked;
	size_t taken = hold(output, data, length);

	while (!output->blocked && taken < length) {
		flush(output);
		taken += hold(output, data + taken, length - taken);
	}
	if (!output->blocked && memchr(data, '\n', length))
		flush(output);
	if (output->blocked && !was_blocked)
		wake_main_loop(output);
	else if (!output->blocked && was_empty && output->n_held > 0)
		start_timer(output);
	return taken;
}

size_t console_output_write(ConsoleOutput *output, const uint8_t *data, size_t length)
{
	g_mutex_lock(&output->lock);
	size_t taken = write_locked(output, data, length);

	if (taken < length)
		output->refused = true;
	g_mutex_unlock(&output->lock);
	return taken;
}

/* Writes on, and lets the device do so if it was refused. Returns whether the reader keeps up. */
static bool resume(ConsoleOutput *output)
{
	bool refused, flowing;

	g_mutex_lock(&output->lock);
	output->blocked = false;
	flush(output);
	refused = output->refused && output->n_held < sizeof(output->held);
	if (refused)
		output->refused = false;
	g_mutex_unlock(&output->lock);

	/* It takes the bus lock, which comes before ours, and calls console_output_write(). */
	if (refused)
		output->ready(output->owner);

	g_mutex_lock(&output->lock);
	flush(output);
	flowing = !output->blocked;
	g_mutex_unlock(&output->lock);
	return flowing;
}

static gboolean on_writable(gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED,
			    gpointer owner)
{
	ConsoleOutput *output = owner;

	if (!resume(output))
		return G_SOURCE_CONTINUE;
	output->writable_source = 0;
	return G_SOURCE_REMOVE;
}

static gboolean on_wake(gint fd, GIOCondition condition G_GNUC_UNUSED, gpointer owner)
{
	ConsoleOutput *output = owner;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) > 0 && !output->writable_source)
		output->writable_source = g_unix_fd_add(output->fd, G_IO_OUT, on_writable, output);
	return G_SOURCE_CONTINUE;
}

static gboolean on_timer(gint fd, GIOCondition condition G_GNUC_UNUSED, gpointer owner)
{
	ConsoleOutput *output = owner;
	uint64_t expirations;

	if (read(fd, &expirations, sizeof(expirations)) < 0)
		return G_SOURCE_CONTINUE;
	g_mutex_lock(&output->lock);
	if (!output->blocked) {
		flush(output);
		if (output->blocked)
			wake_main_loop(output);
	}
	g_mutex_unlock(&output->lock);
	return G_SOURCE_CONTINUE;
}

bool console_output_start(ConsoleOutput *output, GError **error)
{
	output->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	output->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (output->wake < 0 || output->timer < 0)
		return umbra_fail_errno(error, errno, "cannot set up the console's output");
	choose_way(output);
	output->wake_source = g_unix_fd_add(output->wake, G_IO_IN, on_wake, output);
	output->timer_source = g_unix_fd_add(output->timer, G_IO_IN, on_timer, output);
	if (!resume(output))
		wake_main_loop(output);
	return true;
}

static void detach(ConsoleOutput *output)
{
	g_clear_handle_id(&output->wake_source, g_source_remove);
	g_clear_handle_id(&output->timer_source, g_source_remove);
	g_clear_handle_id(&output->writable_source, g_source_remove);
}

void console_output_stop(ConsoleOutput *output)
{
	detach(output);
	while (!resume(output) && wait_writable(output, STOP_TIMEOUT_MS))
		;
}

void console_output_destroy(ConsoleOutput *output)
{
	if (!output)
		return;
	detach(output);
	if (output->reopened)
		close(output->fd);
	if (output->wake >= 0)
		close(output->wake);
	if (output->timer >= 0)
		close(output->timer);
	g_mutex_clear(&output->lock);
	g_free(output);
}
