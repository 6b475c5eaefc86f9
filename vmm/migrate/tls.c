// SPDX-License-Identifier: MIT
/*
 * Who starts umbra-tls is a thread that does nothing else and then waits for its
 * end. So no child is left unreaped, whether there is a main loop or not; and the
 * helper, which asks to be killed when its parent dies, and to which "parent"
 * means the thread (prctl(2), PR_SET_PDEATHSIG), lives as long as this process.
 *
 * Its first word comes by a pipe; that it could not be started comes the same way.
 */
#include "migrate/tls.h"

#include "base/error.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* umbra-tls gives up by itself before that (vmm/tls/setup.h). */
#define WORD_SECONDS 20
#define WORD_MAX     4096

/* Descriptors of the helper, beside stderr, which is ours. */
#define HELPER_STATUS STDOUT_FILENO
#define HELPER_PLAIN  3
#define HELPER_TCP    4
#define HELPER_FDS    5
#define AS_TEXT_(x)   #x
#define AS_TEXT(x)    AS_TEXT_(x)

typedef struct Helper {
	char *program;
	char **argv;
	int status; /* write end */
	int plain;
	int tcp; /* or -1 */
} Helper;

/* Beside the program in a build directory; else where it was installed. */
static char *find_program(void)
{
	const char *told = g_getenv("UMBRA_TLS");
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);

	if (told && *told)
		return g_strdup(told);
	if (self) {
		g_autofree char *dir = g_path_get_dirname(self);
		g_autofree char *beside = g_build_filename(dir, "umbra-tls", NULL);

		if (access(beside, X_OK) == 0)
			return g_steal_pointer(&beside);
	}
	return g_strdup(UMBRA_LIBEXECDIR "/umbra-tls");
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void helper_destroy(Helper *helper)
{
	close_fd(&helper->status);
	close_fd(&helper->plain);
	close_fd(&helper->tcp);
	g_strfreev(helper->argv);
	g_free(helper->program);
	g_free(helper);
}

/* So that no descriptor is overwritten by dup2() before its turn has come. */
static bool move_up(int *fd)
{
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, HELPER_FDS);

	if (moved < 0)
		return false;
	close(*fd);
	*fd = moved;
	return true;
}

/* Gives an errno. */
static int spawn(Helper *helper, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	if (!move_up(&helper->status) || !move_up(&helper->plain) ||
	    (helper->tcp >= 0 && !move_up(&helper->tcp)))
		return errno;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	/* A group of its own: what a terminal sends to umbra, umbra decides about. */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, helper->status, HELPER_STATUS);
	posix_spawn_file_actions_adddup2(&files, helper->plain, HELPER_PLAIN);
	if (helper->tcp >= 0)
		posix_spawn_file_actions_adddup2(&files, helper->tcp, HELPER_TCP);
	/* All that umbra opens is close-on-exec; but others' descriptors may have come to it. */
	posix_spawn_file_actions_addclosefrom_np(&files,
						 helper->tcp >= 0 ? HELPER_FDS : HELPER_TCP);
	int failed =
		posix_spawn(ret_pid, helper->program, &files, &attributes, helper->argv, environ);

	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

static gpointer run_helper(gpointer data)
{
	Helper *helper = data;
	pid_t pid = -1;
	int failed = spawn(helper, &pid);

	if (failed)
		dprintf(helper->status, "cannot start %s: %s\n", helper->program,
			g_strerror(failed));
	/* From here on only the helper has them, and their ends mean its end. */
	helper_destroy(helper);
	while (!failed && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

static bool start_thread(Helper *helper, GError **error)
{
	sigset_t blocked, old;
	g_autoptr(GError) failed = NULL;

	signals_for_thread(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	GThread *thread = g_thread_try_new("tls-helper", run_helper, helper, &failed);

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!thread) {
		helper_destroy(helper);
		return umbra_fail(error, UMBRA_ERROR_FAILED, "%s", failed->message);
	}
	g_thread_unref(thread);
	return true;
}

/* One line without its end, or what came of it before the end of file; NULL if nothing comes. */
static char *read_word(int fd)
{
	char word[WORD_MAX];
	size_t length = 0;
	const gint64 deadline = g_get_monotonic_time() + WORD_SECONDS * G_USEC_PER_SEC;

	while (length < sizeof(word) - 1) {
		struct pollfd status = {.fd = fd, .events = POLLIN};
		gint64 left = (deadline - g_get_monotonic_time()) / 1000;

		if (left <= 0)
			return NULL;
		if (poll(&status, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(fd, word + length, sizeof(word) - 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || memchr(word + length, '\n', (size_t)n)) {
			length += n > 0 ? (size_t)n : 0;
			break;
		}
		length += (size_t)n;
	}
	word[length] = '\0';
	word[strcspn(word, "\n")] = '\0';
	return g_strdup(word);
}

static bool judge_word(const char *word, GError **error)
{
	if (!word)
		return umbra_fail(error, UMBRA_ERROR_FAILED, "TLS: umbra-tls hangs");
	if (strcmp(word, "ok") == 0)
		return true;
	if (g_str_has_prefix(word, "error: "))
		return umbra_fail(error, UMBRA_ERROR_FAILED, "TLS: %s", word + strlen("error: "));
	if (*word)
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "TLS: %s: install umbra whole, or name the program in UMBRA_TLS",
				  word);
	return umbra_fail(error, UMBRA_ERROR_FAILED, "TLS: umbra-tls ended without a word");
}

/* Takes over `tcp` and `argv`, whose first word is missing. */
static int start(char **argv, int tcp, GError **error)
{
	Helper *helper = g_new(Helper, 1);
	int plain[2] = {-1, -1};
	int status[2] = {-1, -1};

	*helper = (Helper){.program = find_program(), .argv = argv, -1, -1, tcp};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain) < 0 ||
	    pipe2(status, O_CLOEXEC) < 0) {
		umbra_fail_errno(error, errno, "TLS: cannot make a socket");
		close_fd(&plain[0]);
		close_fd(&plain[1]);
		helper_destroy(helper);
		return -1;
	}
	helper->plain = plain[1];
	helper->status = status[1];
	bool done = start_thread(helper, error);

	if (done) {
		g_autofree char *word = read_word(status[0]);

		done = judge_word(word, error);
	}
	close_fd(&status[0]);
	if (!done)
		close_fd(&plain[0]);
	return plain[0];
}

static bool check_directory(const char *dir, GError **error)
{
	return dir ||
	       umbra_fail(error, UMBRA_ERROR_USAGE,
			  "TLS needs certificates: name the folder that has them (--tls DIR; "
			  "tls-creds in QMP)");
}

bool tls_can_serve(const char *dir, GError **error)
{
	static const char *const files[] = {"ca-cert.pem", "server-cert.pem", "server-key.pem"};

	if (!check_directory(dir, error))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = g_build_filename(dir, files[i], NULL);

		if (access(path, R_OK) < 0)
			return umbra_fail_errno(error, errno, "TLS: %s", path);
	}
	return true;
}

int tls_connect(const char *host, const char *port, const char *dir, GError **error)
{
	/* No word of the caller's is taken for an option. */
	if (!check_directory(dir, error))
		return -1;
	const char *const argv[] = {"umbra-tls", "connect", "--dir", dir,
				    "--",	 host,	    port,    AS_TEXT(HELPER_PLAIN),
				    NULL};

	return start(g_strdupv((char **)argv), -1, error);
}

int tls_serve(int tcp_fd, const char *dir, GError **error)
{
	if (!check_directory(dir, error)) {
		close_fd(&tcp_fd);
		return -1;
	}
	const char *const argv[] = {
		"umbra-tls",	       "serve", "--dir", dir, "--", AS_TEXT(HELPER_TCP),
		AS_TEXT(HELPER_PLAIN), NULL};

	return start(g_strdupv((char **)argv), tcp_fd, error);
}
