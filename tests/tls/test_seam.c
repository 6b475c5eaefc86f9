// SPDX-License-Identifier: MIT
/*
 * The library's side: a connected socket or an error, and nothing left behind.
 * UMBRA_TLS names umbra-tls, the first argument the script that makes certificates.
 */
#include "migrate/tls.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Fixture {
	char *port;
	int listener;
	unsigned fds;
} Fixture;

typedef struct Side {
	const char *dir; /* in the folder of certificates */
	const Fixture *fixture;
	int fd;
	GError *error;
} Side;

static char *folder;  /* of certificates */
static char *program; /* umbra-tls */

static unsigned count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void set_up(Fixture *f, const void *unused)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	(void)unused;
	f->fds = count_fds();
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_assert_cmpint(bind(f->listener, (struct sockaddr *)&address, length), ==, 0);
	g_assert_cmpint(listen(f->listener, 4), ==, 0);
	g_assert_cmpint(getsockname(f->listener, (struct sockaddr *)&address, &length), ==, 0);
	f->port = g_strdup_printf("%u", ntohs(address.sin_port));
	g_setenv("UMBRA_TLS", program, TRUE);
}

/* Each test leaves no child and no descriptor. */
static void tear_down(Fixture *f, const void *unused)
{
	siginfo_t info;

	(void)unused;
	close(f->listener);
	g_free(f->port);
	/* Waits for ends, and leaves the reaping to those whose matter it is. */
	while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0)
		g_thread_yield();
	g_assert_cmpint(errno, ==, ECHILD);
	/* The thread that started the helper closes them, and may not have come to it yet. */
	while (count_fds() != f->fds)
		g_thread_yield();
}

static char *directory(const char *name)
{
	return g_build_filename(folder, name, NULL);
}

static gpointer connect_side(gpointer data)
{
	Side *side = data;
	g_autofree char *dir = directory(side->dir);

	side->fd = tls_connect("localhost", side->fixture->port, dir, &side->error);
	return NULL;
}

static void connect_both(const Fixture *f, Side *client, Side *server)
{
	g_autofree char *dir = directory(server->dir);

	client->fixture = f;
	GThread *thread = g_thread_new("client", connect_side, client);

	server->fd = tls_serve(accept4(f->listener, NULL, NULL, SOCK_CLOEXEC), dir, &server->error);
	/* The thread's end must not be the connection's. */
	g_thread_join(thread);
}

static void assert_arrives(int from, int to, const char *text)
{
	char got[64] = {0};
	size_t length = strlen(text);

	g_assert_cmpint(write(from, text, length), ==, (gssize)length);
	g_assert_cmpint(recv(to, got, length, MSG_WAITALL), ==, (gssize)length);
	g_assert_cmpstr(got, ==, text);
}

static void assert_refused(int fd, GError *error, int code, const char *why)
{
	g_assert_cmpint(fd, ==, -1);
	g_assert_error(error, UMBRA_ERROR, code);
	g_test_message("%s", error->message);
	g_assert_nonnull(strstr(error->message, why));
	g_assert_null(strchr(error->message, '\n'));
	g_error_free(error);
}

static void test_connection(Fixture *f, const void *unused)
{
	Side client = {.dir = "good"}, server = {.dir = "good"};
	char end;

	(void)unused;
	connect_both(f, &client, &server);
	g_assert_no_error(client.error);
	g_assert_no_error(server.error);
	g_assert_cmpint(fcntl(client.fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	g_assert_cmpint(fcntl(client.fd, F_GETFL) & O_NONBLOCK, ==, 0);
	assert_arrives(client.fd, server.fd, "there");
	assert_arrives(server.fd, client.fd, "and back");
	close(client.fd);
	g_assert_cmpint(read(server.fd, &end, 1), ==, 0);
	close(server.fd);
}

static void test_several_at_once(Fixture *f, const void *unused)
{
	Side client[3], server[3];

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		client[i] = server[i] = (Side){.dir = "good"};
		connect_both(f, &client[i], &server[i]);
	}
	/* None keeps another's open. */
	for (unsigned i = 0; i < 3; i++) {
		char end;

		assert_arrives(client[i].fd, server[i].fd, "this one");
		close(client[i].fd);
		g_assert_cmpint(read(server[i].fd, &end, 1), ==, 0);
		close(server[i].fd);
	}
}

static void test_refused_by_both(Fixture *f, const void *unused)
{
	Side client = {.dir = "other"}, server = {.dir = "good"};

	(void)unused;
	connect_both(f, &client, &server);
	assert_refused(client.fd, client.error, UMBRA_ERROR_FAILED,
		       "the peer's certificate is not signed by the CA in ca-cert.pem");
	assert_refused(server.fd, server.error, UMBRA_ERROR_FAILED, "127.0.0.1:");
}

static void test_files(Fixture *f, const void *unused)
{
	g_autofree char *dir = directory("nothing");
	GError *error = NULL;
	int fd = tls_connect("localhost", f->port, dir, &error);

	(void)unused;
	assert_refused(fd, error, UMBRA_ERROR_FAILED, "nothing/ca-cert.pem: No such file");
	error = NULL;
	fd = tls_connect("localhost", f->port, NULL, &error);
	assert_refused(fd, error, UMBRA_ERROR_USAGE, "certificates");
	error = NULL;
	/* Taken over, even so. */
	fd = tls_serve(dup(f->listener), NULL, &error);
	assert_refused(fd, error, UMBRA_ERROR_USAGE, "certificates");
}

static void test_no_program(Fixture *f, const void *unused)
{
	g_autofree char *dir = directory("good");
	GError *error = NULL;

	(void)unused;
	g_setenv("UMBRA_TLS", "/nonexistent/umbra-tls", TRUE);
	int fd = tls_connect("localhost", f->port, dir, &error);

	assert_refused(fd, error, UMBRA_ERROR_UNSUPPORTED, "/nonexistent/umbra-tls");
}

/* Runs `script` in umbra-tls' place. */
static void pretend(const Fixture *f, const char *script, int code, const char *why)
{
	g_autofree char *path = directory("pretender");
	g_autofree char *text = g_strconcat("#!/bin/sh\n", script, "\n", NULL);
	GError *error = NULL;

	g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0700,
					       NULL));
	g_setenv("UMBRA_TLS", path, TRUE);
	int fd = tls_connect("localhost", f->port, folder, &error);

	assert_refused(fd, error, code, why);
	g_assert_cmpint(g_unlink(path), ==, 0);
}

static void test_program_that_is_none(Fixture *f, const void *unused)
{
	(void)unused;
	pretend(f, "exit 0", UMBRA_ERROR_FAILED, "ended without a word");
	pretend(f, "kill -9 $$", UMBRA_ERROR_FAILED, "ended without a word");
	pretend(f, "echo error: because", UMBRA_ERROR_FAILED, "because");
	pretend(f, "printf 'error: cut of'", UMBRA_ERROR_FAILED, "cut of");
	pretend(f, "while :; do printf xxxxxxxxxxxxxxxx || exit; done 2>/dev/null",
		UMBRA_ERROR_UNSUPPORTED, "xxxx");
}

/* What umbra has open, a guest's memory and disks, is no business of the helper's. */
static void test_descriptors(Fixture *f, const void *unused)
{
	/* Without close-on-exec, as from somebody who started umbra. */
	int inheritable = fcntl(f->listener, F_DUPFD, 100);

	(void)unused;
	g_autofree char *script = g_strdup_printf(
		"[ -e /proc/$$/fd/3 ] && ! [ -e /proc/$$/fd/%d ] && echo error: only its own",
		inheritable);

	pretend(f, script, UMBRA_ERROR_FAILED, "only its own");
	close(inheritable);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(argc, ==, 2);
	program = g_strdup(g_getenv("UMBRA_TLS"));
	folder = g_dir_make_tmp("umbra-tls-XXXXXX", NULL);
	const char *const make[] = {argv[1], folder, NULL};
	int status = -1;

	g_assert_true(g_spawn_sync(NULL, (char **)make, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL,
				   NULL, &status, NULL));
	g_assert_cmpint(status, ==, 0);
#define TEST(name) g_test_add("/tls/" #name, Fixture, NULL, set_up, test_##name, tear_down)
	TEST(connection);
	TEST(several_at_once);
	TEST(refused_by_both);
	TEST(files);
	TEST(no_program);
	TEST(program_that_is_none);
	TEST(descriptors);
	status = g_test_run();
	const char *const remove[] = {"rm", "-r", folder, NULL};

	g_spawn_sync(NULL, (char **)remove, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
		     NULL);
	return status;
}
