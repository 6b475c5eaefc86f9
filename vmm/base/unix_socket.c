// SPDX-License-Identifier: MIT
/*
 * Whether a name is stale is found out by connecting to it, and a socket that
 * has been bound but does not listen yet looks the same as a dead one. So who
 * makes or removes a name holds a lock on its directory (which, unlike a lock
 * file, leaves nothing behind).
 */
#include "base/unix_socket.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* Nobody holds the lock longer than a few system calls, unless he means harm. */
#define LOCK_TRIES	 200
#define LOCK_INTERVAL_US (10 * 1000)

typedef enum Occupant {
	OCCUPANT_NONE,
	OCCUPANT_LIVE,
	OCCUPANT_STALE, /* a socket of ours without a listener */
	OCCUPANT_OTHER, /* not a socket, or not ours */
} Occupant;

static bool make_address(const char *path, struct sockaddr_un *ret_address, GError **error)
{
	const size_t max = sizeof(ret_address->sun_path) - 1;

	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (path[0] == '\0')
		return umbra_fail(error, UMBRA_ERROR_USAGE, "the path of a socket is empty");
	if (strlen(path) > max)
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "socket %s: the path has %zu bytes and may have %zu: use a "
				  "shorter one",
				  path, strlen(path), max);
	strcpy(ret_address->sun_path, path);
	return true;
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Connects, or gives -1 and errno. */
static int try_connect(const struct sockaddr_un *address)
{
	int fd = new_socket();

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	int saved_errno = errno;

	close(fd);
	errno = saved_errno;
	return -1;
}

static Occupant probe(const struct sockaddr_un *address)
{
	struct stat status;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? OCCUPANT_NONE : OCCUPANT_OTHER;
	if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
		return OCCUPANT_OTHER;
	int fd = try_connect(address);

	if (fd >= 0) {
		close(fd);
		return OCCUPANT_LIVE;
	}
	/* EAGAIN: its queue is full, so somebody has it. */
	return errno == ECONNREFUSED ? OCCUPANT_STALE : OCCUPANT_LIVE;
}

static int lock_directory(const char *path, GError **error)
{
	g_autofree char *directory = g_path_get_dirname(path);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		umbra_fail_errno(error, errno, "socket %s: cannot open its directory", path);
		return -1;
	}
	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		int failed = errno;

		if (failed == EWOULDBLOCK && i < LOCK_TRIES) {
			g_usleep(LOCK_INTERVAL_US);
			continue;
		}
		close(fd);
		umbra_fail_errno(error, failed, "socket %s: cannot lock its directory", path);
		return -1;
	}
	return fd;
}

/* Makes room for the name; with the lock held. */
static bool clear_name(const struct sockaddr_un *address, GError **error)
{
	const char *path = address->sun_path;

	switch (probe(address)) {
	case OCCUPANT_NONE:
		return true;
	case OCCUPANT_STALE:
		if (unlink(path) < 0)
			return umbra_fail_errno(error, errno,
						"socket %s: cannot remove what a dead process left",
						path);
		return true;
	case OCCUPANT_LIVE:
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "socket %s is in use by a running process: choose another", path);
	case OCCUPANT_OTHER:
		return umbra_fail(error, UMBRA_ERROR_USAGE,
				  "socket %s: the path exists and is no socket of this user: "
				  "choose another",
				  path);
	}
	g_assert_not_reached();
}

/* With the lock held. */
static bool bind_and_listen(UnixSocket *made, const struct sockaddr_un *address, GError **error)
{
	struct stat status;

	if (!clear_name(address, error))
		return false;
	/* The name takes the mode that the socket has when it is bound (Linux, unix_bind()). */
	if (fchmod(made->fd, 0600) < 0 ||
	    bind(made->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return umbra_fail_errno(error, errno, "socket %s: cannot be made",
					address->sun_path);
	if (listen(made->fd, BACKLOG) < 0 || lstat(address->sun_path, &status) < 0) {
		umbra_fail_errno(error, errno, "socket %s: cannot listen", address->sun_path);
		unlink(address->sun_path);
		return false;
	}
	made->path = g_strdup(address->sun_path);
	made->device = status.st_dev;
	made->inode = status.st_ino;
	return true;
}

bool unix_socket_listen(const char *path, UnixSocket *ret_socket, GError **error)
{
	struct sockaddr_un address;

	*ret_socket = (UnixSocket){.fd = -1};
	if (!make_address(path, &address, error))
		return false;
	int lock = lock_directory(path, error);

	if (lock < 0)
		return false;
	ret_socket->fd = new_socket();
	bool done = ret_socket->fd >= 0
			    ? bind_and_listen(ret_socket, &address, error)
			    : umbra_fail_errno(error, errno, "socket %s: cannot be made", path);

	close(lock);
	if (!done)
		unix_socket_close(ret_socket);
	return done;
}

void unix_socket_close(UnixSocket *socket)
{
	struct stat status;

	if (socket->path && lstat(socket->path, &status) == 0 && status.st_dev == socket->device &&
	    status.st_ino == socket->inode)
		unlink(socket->path);
	if (socket->fd >= 0)
		close(socket->fd);
	g_free(socket->path);
	*socket = (UnixSocket){.fd = -1};
}

bool unix_socket_connect(const char *path, int *ret_fd, GError **error)
{
	struct sockaddr_un address;

	if (!make_address(path, &address, error))
		return false;
	*ret_fd = try_connect(&address);
	if (*ret_fd < 0)
		return umbra_fail_errno(error, errno, "socket %s: cannot connect", path);
	return true;
}

void unix_socket_remove_stale(const char *path)
{
	struct sockaddr_un address;

	if (!make_address(path, &address, NULL))
		return;
	int lock = lock_directory(path, NULL);

	if (lock < 0)
		return;
	if (probe(&address) == OCCUPANT_STALE)
		unlink(path);
	close(lock);
}

pid_t unix_socket_peer(int fd)
{
	struct ucred peer = {0};
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}
