// SPDX-License-Identifier: MIT
#include "migrate/address.h"

#include "base/error.h"
#include "base/unix_socket.h"
#include "migrate/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 32

struct Listener {
	Address address; /* its kind; strings not kept */
	UnixSocket unix_socket;
	int fd;		/* listening; -1 for a connected fd: that was handed out */
	bool connected; /* fd: is a connection, not a listener */
	int cancel;	/* eventfd */
	char *tls;
};

static struct addrinfo *resolve(const Address *address, bool passive, GError **error)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV,
	};
	struct addrinfo *found = NULL;
	int failed = getaddrinfo(address->host, address->port, &hints, &found);

	if (failed)
		umbra_fail(error, UMBRA_ERROR_USAGE, "%s: host %s: %s", address->text,
			   address->host, gai_strerror(failed));
	return failed ? NULL : found;
}

static bool finish_connect(int fd, unsigned patience_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLOUT};
	socklen_t length = sizeof(errno);
	int ready;

	if (errno != EINPROGRESS)
		return false;
	do {
		ready = poll(&poller, 1, (int)patience_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0)
		errno = ETIMEDOUT;
	if (ready <= 0)
		return false;
	int result = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &length) < 0)
		return false;
	errno = result;
	return result == 0;
}

/* Small messages are answered and awaited: none may wait to be filled up. */
static void tune_tcp(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int connect_tcp(const Address *address, unsigned patience_ms, GError **error)
{
	struct addrinfo *all = resolve(address, false, error);
	int fd = -1, failed = 0;

	for (struct addrinfo *at = all; at && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen) == 0 ||
		    finish_connect(fd, patience_ms))
			continue;
		failed = errno;
		close(fd);
		fd = -1;
	}
	if (all && fd < 0)
		umbra_fail_errno(error, failed, "%s: cannot connect", address->text);
	if (all)
		freeaddrinfo(all);
	if (fd >= 0)
		tune_tcp(fd);
	return fd;
}

static bool is_stream_socket(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

static bool check_fd(const Address *address, GError **error)
{
	return is_stream_socket(address->fd) ||
	       umbra_fail(error, UMBRA_ERROR_USAGE, "%s is no stream socket of this process",
			  address->text);
}

int address_connect(const Address *address, const char *tls, unsigned patience_ms, GError **error)
{
	int fd = -1;

	switch (address->kind) {
	case ADDRESS_UNIX:
		if (!unix_socket_connect(address->path, &fd, error))
			return -1;
		return fd;
	case ADDRESS_TCP:
		return connect_tcp(address, patience_ms, error);
	case ADDRESS_TLS:
		return tls_connect(address->host, address->port, tls, error);
	case ADDRESS_FD:
		if (!check_fd(address, error))
			return -1;
		fd = fcntl(address->fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			umbra_fail_errno(error, errno, "%s", address->text);
		return fd;
	}
	g_assert_not_reached();
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
	return address->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static bool listen_tcp(Listener *listener, const Address *address, bool allow_remote,
		       GError **error)
{
	struct addrinfo *at = resolve(address, true, error);
	int on = 1;
	bool done;

	if (!at)
		return false;
	if (address->kind == ADDRESS_TCP && !allow_remote && !is_loopback(at->ai_addr)) {
		freeaddrinfo(at);
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "%s: plain TCP beyond this host would let whoever reaches the "
				  "port become the guest: use tls:, or --allow-remote in a network "
				  "that you trust",
				  address->text);
	}
	listener->fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	done = listener->fd >= 0 &&
	       setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	       bind(listener->fd, at->ai_addr, at->ai_addrlen) == 0 &&
	       listen(listener->fd, BACKLOG) == 0;
	if (!done)
		umbra_fail_errno(error, errno, "%s: cannot listen", address->text);
	freeaddrinfo(at);
	return done;
}

static bool listen_fd(Listener *listener, const Address *address, GError **error)
{
	int listening = 0;
	socklen_t length = sizeof(listening);

	if (!check_fd(address, error))
		return false;
	listener->fd = fcntl(address->fd, F_DUPFD_CLOEXEC, 3);
	if (listener->fd < 0)
		return umbra_fail_errno(error, errno, "%s", address->text);
	getsockopt(listener->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
	listener->connected = !listening;
	return true;
}

Listener *listener_create(const Address *address, const char *tls, bool allow_remote,
			  GError **error)
{
	if (!address_fits_tls(address, tls, error))
		return NULL;
	g_autoptr(Listener) listener = g_new0(Listener, 1);
	bool done = false;

	listener->address.kind = address->kind;
	listener->unix_socket.fd = -1;
	listener->fd = -1;
	listener->tls = g_strdup(tls);
	listener->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	switch (address->kind) {
	case ADDRESS_UNIX:
		done = unix_socket_listen(address->path, &listener->unix_socket, error);
		break;
	case ADDRESS_TCP:
		done = listen_tcp(listener, address, allow_remote, error);
		break;
	case ADDRESS_TLS:
		done = tls_can_serve(tls, error) &&
		       listen_tcp(listener, address, allow_remote, error);
		break;
	case ADDRESS_FD:
		done = listen_fd(listener, address, error);
		break;
	}
	return done ? g_steal_pointer(&listener) : NULL;
}

void listener_destroy(Listener *listener)
{
	if (!listener)
		return;
	if (listener->unix_socket.fd >= 0)
		unix_socket_close(&listener->unix_socket);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->cancel >= 0)
		close(listener->cancel);
	g_free(listener->tls);
	g_free(listener);
}

void listener_cancel(Listener *listener)
{
	uint64_t one = 1;

	(void)!write(listener->cancel, &one, sizeof(one));
}

static int listening_fd(const Listener *listener)
{
	return listener->address.kind == ADDRESS_UNIX ? listener->unix_socket.fd : listener->fd;
}

/* 1: somebody connects, 0: `wake_fd` is readable, which comes first; -1: *error. */
static int wait_for_client(const Listener *listener, int wake_fd, int patience_ms, GError **error)
{
	/* Those below 0 are left out. */
	struct pollfd pollers[] = {
		{.fd = listening_fd(listener), .events = POLLIN},
		{.fd = listener->cancel, .events = POLLIN},
		{.fd = wake_fd, .events = POLLIN},
	};
	int ready;

	do {
		ready = poll(pollers, G_N_ELEMENTS(pollers), patience_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		umbra_fail_errno(error, errno, "waiting for a connection");
	else if (pollers[1].revents)
		umbra_fail(error, UMBRA_ERROR_FAILED, "cancelled");
	else if (ready == 0)
		umbra_fail(error, UMBRA_ERROR_FAILED, "nobody connects");
	else
		return pollers[2].revents ? 0 : 1;
	return -1;
}

int listener_accept(Listener *listener, int wake_fd, int patience_ms, bool *ret_go_on,
		    GError **error)
{
	int fd;

	*ret_go_on = false;
	if (listener->connected && listener->fd >= 0) {
		fd = listener->fd;
		listener->fd = -1;
		*ret_go_on = true;
		return fd;
	}
	if (listener->connected && wake_fd < 0) {
		umbra_fail(error, UMBRA_ERROR_FAILED, "an fd: is one connection only");
		return -1;
	}
	do {
		int who = wait_for_client(listener, wake_fd, patience_ms, error);

		*ret_go_on = who == 0;
		if (who <= 0)
			return -1;
		fd = accept4(listening_fd(listener), NULL, NULL, SOCK_CLOEXEC);
		/* Who went away again while waiting, or a moment without descriptors. */
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED));
	if (fd < 0) {
		umbra_fail_errno(error, errno, "cannot accept a connection");
		return -1;
	}
	*ret_go_on = true;
	if (listener->address.kind == ADDRESS_TCP || listener->address.kind == ADDRESS_TLS)
		tune_tcp(fd);
	return fd;
}

int listener_secure(const Listener *listener, int fd, GError **error)
{
	return listener->address.kind == ADDRESS_TLS ? tls_serve(fd, listener->tls, error) : fd;
}

bool listener_is_reusable(const Listener *listener)
{
	return !listener->connected;
}

unsigned listener_port(const Listener *listener)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if ((listener->address.kind != ADDRESS_TCP && listener->address.kind != ADDRESS_TLS) ||
	    getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0)
		return 0;
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
						   : ((struct sockaddr_in *)&address)->sin_port);
}
