// SPDX-License-Identifier: MIT
/* Sockets as files: whose they are, who may have the name, what is left behind. */
#include "control/registry.h"
#include "base/unix_socket.h"
#include "control_fixture.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <sys/stat.h>
#include <sys/un.h>

typedef struct Fixture {
	char *folder;
	char *path;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
	(void)unused;
	f->folder = g_dir_make_tmp("umbra-socket-XXXXXX", NULL);
	f->path = g_build_filename(f->folder, "s", NULL);
	g_setenv("XDG_RUNTIME_DIR", f->folder, TRUE);
}

static void tear_down(Fixture *f, const void *unused)
{
	(void)unused;
	/* Each test leaves the folder as it was: empty. */
	g_assert_cmpint(g_rmdir(f->folder), ==, 0);
	g_free(f->folder);
	g_free(f->path);
}

static bool there(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static void assert_refused(const char *path, const char *why)
{
	UnixSocket made;
	g_autoptr(GError) error = NULL;

	g_assert_false(unix_socket_listen(path, &made, &error));
	g_assert_nonnull(strstr(error->message, why));
	g_assert_nonnull(strstr(error->message, path));
	g_assert_null(strchr(error->message, '\n'));
}

/* What a process that was killed leaves: a name without a listener. */
static void leave_stale(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	g_assert_cmpint(listen(fd, 1), ==, 0);
	close(fd);
}

static void test_made_and_removed(Fixture *f, const void *unused)
{
	UnixSocket made;
	struct stat status;
	mode_t old = umask(0);

	(void)unused;
	g_assert_true(unix_socket_listen(f->path, &made, NULL));
	umask(old);
	g_assert_cmpint(lstat(f->path, &status), ==, 0);
	g_assert_cmpint(status.st_mode, ==, S_IFSOCK | 0600);
	int fd = -1;

	g_assert_true(unix_socket_connect(f->path, &fd, NULL));
	g_assert_cmpint(unix_socket_peer(fd), ==, getpid());
	close(fd);
	unix_socket_close(&made);
	g_assert_false(there(f->path));
	unix_socket_close(&made); /* of nothing is nothing */
}

static void test_busy(Fixture *f, const void *unused)
{
	UnixSocket made;

	(void)unused;
	g_assert_true(unix_socket_listen(f->path, &made, NULL));
	assert_refused(f->path, "in use by a running process");
	/* Also when its queue is full, which to who connects looks different. */
	int clients[200];

	for (size_t i = 0; i < G_N_ELEMENTS(clients); i++)
		if (!unix_socket_connect(f->path, &clients[i], NULL))
			clients[i] = -1;
	g_assert_cmpint(clients[G_N_ELEMENTS(clients) - 1], ==, -1);
	assert_refused(f->path, "in use by a running process");
	unix_socket_remove_stale(f->path);
	g_assert_true(there(f->path));
	for (size_t i = 0; i < G_N_ELEMENTS(clients); i++)
		if (clients[i] >= 0)
			close(clients[i]);
	unix_socket_close(&made);
}

static void test_stale_is_replaced(Fixture *f, const void *unused)
{
	UnixSocket made;

	(void)unused;
	leave_stale(f->path);
	g_assert_true(unix_socket_listen(f->path, &made, NULL));
	unix_socket_close(&made);
	g_assert_false(there(f->path));
	leave_stale(f->path);
	unix_socket_remove_stale(f->path);
	g_assert_false(there(f->path));
}

static void test_others_files_stay(Fixture *f, const void *unused)
{
	(void)unused;
	g_assert_true(g_file_set_contents(f->path, "mine", -1, NULL));
	assert_refused(f->path, "is no socket of this user");
	unix_socket_remove_stale(f->path);
	g_assert_true(there(f->path));
	g_unlink(f->path);
	/* A link is not followed: it may be another's, and point anywhere. */
	g_autofree char *target = g_build_filename(f->folder, "target", NULL);

	g_assert_cmpint(symlink(target, f->path), ==, 0);
	assert_refused(f->path, "is no socket of this user");
	g_assert_false(there(target));
	g_unlink(f->path);
	g_mkdir(f->path, 0700);
	assert_refused(f->path, "is no socket of this user");
	g_rmdir(f->path);
}

/* Whoever took the name meanwhile keeps it. */
static void test_removes_only_its_own(Fixture *f, const void *unused)
{
	UnixSocket made;

	(void)unused;
	g_assert_true(unix_socket_listen(f->path, &made, NULL));
	g_unlink(f->path);
	g_assert_true(g_file_set_contents(f->path, "another's", -1, NULL));
	unix_socket_close(&made);
	g_assert_true(there(f->path));
	g_unlink(f->path);
}

static void test_bad_paths(Fixture *f, const void *unused)
{
	g_autofree char *longest = g_strnfill(107 - strlen(f->folder) - 1, 'x');
	g_autofree char *fits = g_build_filename(f->folder, longest, NULL);
	g_autofree char *too_long = g_strconcat(fits, "x", NULL);
	g_autofree char *nowhere = g_build_filename(f->folder, "nix", "s", NULL);
	UnixSocket made;

	(void)unused;
	g_assert_true(unix_socket_listen(fits, &made, NULL));
	unix_socket_close(&made);
	assert_refused(too_long, "the path has 108 bytes and may have 107");
	assert_refused(nowhere, "cannot open its directory: No such file or directory");
	assert_refused("", "path of a socket is empty");
}

/* Two that start at once: one gets the name, and keeps it. Stale names are what they fight for. */
static void *race(void *path)
{
	UnixSocket *made = g_new0(UnixSocket, 1);

	if (unix_socket_listen(path, made, NULL))
		return made;
	g_free(made);
	return NULL;
}

static void test_race(Fixture *f, const void *unused)
{
	(void)unused;
	for (unsigned round = 0; round < 300; round++) {
		GThread *threads[3];
		unsigned winners = 0;
		UnixSocket *winner = NULL;

		leave_stale(f->path);
		for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
			threads[i] = g_thread_new("race", race, f->path);
		for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
			UnixSocket *made = g_thread_join(threads[i]);

			winners += made != NULL;
			winner = made ? made : winner;
		}
		g_assert_cmpuint(winners, ==, 1);
		int fd = -1;

		g_assert_true(unix_socket_connect(f->path, &fd, NULL));
		close(fd);
		unix_socket_close(winner);
		g_free(winner);
	}
}

static void test_server(Fixture *f, const void *unused)
{
	ControlServer *server = control_server_create();
	int clients[CONTROL_CLIENTS_MAX];
	int one_more = -1;

	(void)unused;
	g_assert_true(control_server_listen(server, f->path, NULL));
	for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
		g_assert_true(unix_socket_connect(f->path, &clients[i], NULL));
		settle();
		g_autofree char *greeting = receive(clients[i]);

		g_assert_true(g_str_has_prefix(greeting, "{\"QMP\":"));
	}
	g_assert_true(unix_socket_connect(f->path, &one_more, NULL));
	settle();
	g_autofree char *refusal = receive(one_more), *end = receive(one_more);

	g_assert_cmpstr(refusal, ==,
			GENERIC_ERROR("Too many clients; closing the connection") "\r\n");
	g_assert_null(end);
	close(one_more);
	assert_answer(clients[7], "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
	/* Where one leaves there is room for another. */
	close(clients[0]);
	settle();
	g_assert_true(unix_socket_connect(f->path, &clients[0], NULL));
	settle();
	g_autofree char *greeting = receive(clients[0]);

	g_assert_true(g_str_has_prefix(greeting, "{\"QMP\":"));
	control_server_destroy(server);
	g_assert_false(there(f->path));
	for (size_t i = 0; i < G_N_ELEMENTS(clients); i++)
		close(clients[i]);
}

static void test_names(Fixture *f, const void *unused)
{
	static const char *const good[] = {"a", "umbra-1", "A.b_c-9", "0"};
	static const char *const bad[] = {"", ".", "-a", "_a", "a/b", "a b", "a\n", "ü", "a:b"};
	g_autofree char *longest = g_strnfill(64, 'n'), *too_long = g_strnfill(65, 'n');

	(void)f, (void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		g_assert_true(registry_check_name(good[i], NULL));
	g_assert_true(registry_check_name(longest, NULL));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(registry_check_name(bad[i], &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_USAGE);
	}
	g_assert_false(registry_check_name(too_long, NULL));
}

static void test_registry(Fixture *f, const void *unused)
{
	g_autofree char *directory = g_build_filename(f->folder, "umbra", NULL);
	g_autofree char *path = registry_path_for("b", NULL);
	g_autofree char *expected = g_build_filename(directory, "b.sock", NULL);
	g_autofree char *other = registry_path_for("a", NULL);
	struct stat status;

	(void)unused;
	g_assert_cmpstr(path, ==, expected);
	g_assert_cmpint(stat(directory, &status), ==, 0);
	g_assert_cmpint(status.st_mode, ==, S_IFDIR | 0700);
	g_assert_null(registry_find("b"));
	leave_stale(path);
	leave_stale(other);
	g_autofree char *found = registry_find("b");

	g_assert_cmpstr(found, ==, path);
	g_autoptr(GPtrArray) all = registry_list();
	unsigned ours = 0;
	const char *last = "";

	for (guint i = 0; i < all->len; i++) {
		const RegistryEntry *entry = g_ptr_array_index(all, i);

		g_assert_cmpstr(last, <=, entry->name);
		last = entry->name;
		ours += g_str_has_prefix(entry->path, directory);
	}
	g_assert_cmpuint(ours, ==, 2);
	/* A directory that others can write to is nobody's registry. */
	g_assert_cmpint(chmod(directory, 0770), ==, 0);
	g_assert_null(registry_find("b"));
	g_unlink(path);
	g_unlink(other);
	g_rmdir(directory);
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
	g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("/control/socket/made-and-removed", test_made_and_removed);
	add("/control/socket/busy", test_busy);
	add("/control/socket/stale-is-replaced", test_stale_is_replaced);
	add("/control/socket/others-files-stay", test_others_files_stay);
	add("/control/socket/removes-only-its-own", test_removes_only_its_own);
	add("/control/socket/bad-paths", test_bad_paths);
	add("/control/socket/race", test_race);
	add("/control/socket/server", test_server);
	add("/control/registry/names", test_names);
	add("/control/registry/directory", test_registry);
	return g_test_run();
}
