// SPDX-License-Identifier: MIT
/*
 * One loop: everything that can be done without waiting is tried, and only when
 * nothing could be done is there a poll(), for just what was tried in vain. TLS
 * needs it in this order, since decrypted bytes may lie ready where poll() does
 * not see them. TLS 1.3 has no handshakes later on, so reading waits for the
 * socket's input only, and writing for its output only.
 */
#include "tls/relay.h"

#include "base/error.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BUFFER_SIZE (256 * 1024)
/* TLS records have at most 16 KiB: these fit in a buffer (RFC 8446, 5.1). */
#define RECORDS_AT_ONCE 16
#define ACK_INTERVAL_MS 5

/* One direction. Filled when empty, and emptied before it is filled again. */
typedef struct Pipe {
	uint8_t data[BUFFER_SIZE];
	size_t start, end;
	bool ended;  /* nothing more will be put in */
	bool closed; /* and whoever takes out has been told, or does not care */
} Pipe;

typedef struct Relay {
	Pipe out; /* plain → net */
	Pipe in;  /* net → plain */
	int plain, net;
	GPollableInputStream *from_net;
	GPollableOutputStream *to_net;
	short want_plain, want_net; /* poll() events of what has just been tried in vain */
	bool gone;		    /* the caller */
	gint64 patience_ends;	    /* if gone */
	GError *failed;
} Relay;

static bool pipe_is_empty(const Pipe *pipe)
{
	return pipe->start == pipe->end;
}

static bool would_block(int saved_errno)
{
	return saved_errno == EAGAIN || saved_errno == EINTR;
}

static void progress(Relay *r)
{
	r->patience_ends = g_get_monotonic_time() + RELAY_LINGER_SECONDS * G_USEC_PER_SEC;
}

static void caller_is_gone(Relay *r)
{
	if (r->gone)
		return;
	r->gone = true;
	progress(r);
	r->in.start = r->in.end = 0;
	r->in.closed = true;
}

/*
 * The first is the one that tells most. Both ends may leave at once, and the peer be seen to do
 * so first: then it matters to nobody any more how.
 */
static void set_failed(Relay *r, GError *error)
{
	struct pollfd plain = {.fd = r->plain};

	if (poll(&plain, 1, 0) > 0 && plain.revents & (POLLHUP | POLLERR))
		caller_is_gone(r);
	if (r->failed)
		g_error_free(error);
	else
		r->failed = error;
}

/* Nothing reaches the peer any more; the caller's next write fails. */
static void give_up_out(Relay *r)
{
	r->out.start = r->out.end = 0;
	r->out.ended = r->out.closed = true;
	shutdown(r->plain, SHUT_RD);
}

static bool fill_out(Relay *r)
{
	Pipe *pipe = &r->out;
	ssize_t n = 0;

	if (pipe->ended || !pipe_is_empty(pipe))
		return false;
	n = recv(r->plain, pipe->data, sizeof(pipe->data), MSG_DONTWAIT);
	if (n < 0 && would_block(errno) && !r->gone) {
		r->want_plain |= POLLIN;
		return false;
	}
	/* An error means that the caller has closed without having read everything. */
	pipe->start = 0;
	pipe->end = n > 0 ? (size_t)n : 0;
	pipe->ended = n <= 0;
	return true;
}

/* True if it was done or cannot be done; false if it has to wait. */
static bool close_out(Relay *r)
{
	struct pollfd net = {.fd = r->net, .events = POLLOUT};

	/* The call blocks, but there is room for the few bytes of a close_notify. */
	if (poll(&net, 1, 0) <= 0) {
		r->want_net |= POLLOUT;
		return false;
	}
	/* Whether the peer hears it is seen on the other direction. */
	g_output_stream_close(G_OUTPUT_STREAM(r->to_net), NULL, NULL);
	r->out.closed = true;
	return true;
}

static bool drain_out(Relay *r)
{
	Pipe *pipe = &r->out;
	GError *failed = NULL;

	if (pipe->closed || (pipe_is_empty(pipe) && !pipe->ended))
		return false;
	if (pipe_is_empty(pipe))
		return close_out(r);
	/* After "would block" GnuTLS wants the same bytes again, and gets them. */
	gssize n = g_pollable_output_stream_write_nonblocking(
		r->to_net, pipe->data + pipe->start, pipe->end - pipe->start, NULL, &failed);

	if (n > 0) {
		pipe->start += (size_t)n;
		progress(r);
		return true;
	}
	if (g_error_matches(failed, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
		g_error_free(failed);
		r->want_net |= POLLOUT;
		return false;
	}
	set_failed(r, failed);
	give_up_out(r);
	return true;
}

/* Takes one record; false if there is none now. */
static bool take_in(Relay *r)
{
	Pipe *pipe = &r->in;
	GError *failed = NULL;
	gssize n = g_pollable_input_stream_read_nonblocking(
		r->from_net, pipe->data + pipe->end, sizeof(pipe->data) - pipe->end, NULL, &failed);

	if (g_error_matches(failed, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
		g_error_free(failed);
		r->want_net |= POLLIN;
		return false;
	}
	pipe->ended = n <= 0;
	if (n > 0 && !r->gone)
		pipe->end += (size_t)n;
	if (n < 0) {
		/* A connection without an end is none: nothing goes out on it either. */
		set_failed(r, failed);
		give_up_out(r);
	}
	return true;
}

static bool fill_in(Relay *r)
{
	Pipe *pipe = &r->in;
	bool done = false;

	if (pipe->ended || !pipe_is_empty(pipe))
		return false;
	pipe->start = pipe->end = 0;
	/* Records are small, and each write to the caller costs a system call and may wake him. */
	for (unsigned i = 0; i < RECORDS_AT_ONCE && !pipe->ended && take_in(r); i++)
		done = true;
	return done;
}

static bool drain_in(Relay *r)
{
	Pipe *pipe = &r->in;

	if (pipe->closed || (pipe_is_empty(pipe) && !pipe->ended))
		return false;
	if (pipe_is_empty(pipe)) {
		shutdown(r->plain, SHUT_WR);
		pipe->closed = true;
		return true;
	}
	ssize_t n = send(r->plain, pipe->data + pipe->start, pipe->end - pipe->start,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0) {
		pipe->start += (size_t)n;
		return true;
	}
	if (would_block(errno)) {
		r->want_plain |= POLLOUT;
		return false;
	}
	caller_is_gone(r);
	return true;
}

/*
 * Is the peer's host known to have it all? Closing a socket on which bytes still
 * come in makes the kernel drop what it has not sent yet.
 */
static bool delivered(const Relay *r)
{
	int unsent = 0;

	return r->in.ended || ioctl(r->net, SIOCOUTQ, &unsent) < 0 || unsent == 0;
}

static bool finished(const Relay *r)
{
	if (!r->gone)
		return r->in.closed && r->out.closed;
	return (r->out.closed && delivered(r)) || g_get_monotonic_time() > r->patience_ends;
}

static int time_to_wait(const Relay *r)
{
	if (!r->gone)
		return -1;
	if (r->out.closed)
		return ACK_INTERVAL_MS;
	return (int)MAX((r->patience_ends - g_get_monotonic_time()) / 1000, 0) + 1;
}

/* A descriptor from which nothing is wanted is left out: it may have hung up long ago. */
static void wait_for_something(Relay *r)
{
	struct pollfd fds[2] = {
		{.fd = r->gone ? -1 : r->plain, .events = r->want_plain},
		{.fd = r->want_net ? r->net : -1, .events = r->want_net},
	};

	/* The caller's hanging up is always wanted. */
	if (poll(fds, 2, time_to_wait(r)) > 0 && fds[0].revents & (POLLHUP | POLLERR))
		caller_is_gone(r);
}

bool relay_run(int plain, const Session *session, GError **error)
{
	GIOStream *stream = G_IO_STREAM(session->tls);
	Relay *r = g_new0(Relay, 1);

	r->plain = plain;
	r->net = g_socket_get_fd(g_socket_connection_get_socket(session->tcp));
	r->from_net = G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(stream));
	r->to_net = G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(stream));
	while (!finished(r)) {
		bool done = false;

		r->want_plain = r->want_net = 0;
		done |= drain_out(r);
		done |= fill_out(r);
		done |= drain_in(r);
		done |= fill_in(r);
		if (!done)
			wait_for_something(r);
	}
	bool fine = r->gone || !r->failed;

	if (!fine)
		g_propagate_error(error, g_steal_pointer(&r->failed));
	g_clear_error(&r->failed);
	g_free(r);
	return fine;
}
