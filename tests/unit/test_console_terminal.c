// SPDX-License-Identifier: MIT
/*
 * The terminal is given back on every way out. Each guest is a process of its
 * own here: this one never enters a terminal, and keeps its signals as they are.
 */
#include "cli/terminal.h"
#include "console_guest.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process of its own with the terminal as its controlling one, raw; its pid. */
static pid_t fork_on_terminal(Terminal *terminal, bool background)
{
	int started[2];
	char byte;
	pid_t pid;

	pipe_open(started);
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
		fd_put(started[1], "s");
		/* 'e' ends it by exit(); signals do otherwise. */
		run_until(g_str_has_suffix(guest.got->str, "e"));
		exit(7);
	}
	g_assert_cmpint(read(started[0], &byte, 1), ==, 1);
	fds_close(started);
	return pid;
}

static void wait_until_raw(const Terminal *terminal)
{
	gint64 deadline = g_get_monotonic_time() + DEADLINE_US;

	while (!terminal_is_raw(terminal)) {
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
		g_assert_true(terminal_is_raw(&terminal));
		kill(pid, signals[i]);
		g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
		g_assert_true(WIFSIGNALED(status));
		g_assert_cmpint(WTERMSIG(status), ==, signals[i]);
		g_assert_true(terminal_is_as_found(&terminal));
	}
	terminal_close(&terminal);
}

/* Memory that was mapped from a file and is not there any more, touched by another thread. */
static void *touch_what_is_gone(void *page)
{
	return (void *)(uintptr_t) * (volatile char *)page;
}

static void lose_memory(Terminal *terminal, int output)
{
	int file = memfd_create("memory", MFD_CLOEXEC);
	pthread_t thread;
	Guest guest;

	setsid();
	ioctl(terminal->slave, TIOCSCTTY, 1);
	dup2(output, STDERR_FILENO);
	g_assert_cmpint(ftruncate(file, 4096), ==, 0);
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);

	terminal_on_lost_memory("it is gone\n", 5);
	guest_start(&guest, terminal->slave, terminal->slave);
	g_assert_cmpint(ftruncate(file, 0), ==, 0);
	pthread_create(&thread, NULL, touch_what_is_gone, page);
	pthread_join(thread, NULL);
	_exit(0);
}

static void test_lost_memory(void)
{
	struct sigaction action;
	Terminal terminal;
	char text[64] = "";
	int output[2], status;

	sigaction(SIGBUS, NULL, &action);
	if (action.sa_handler != SIG_DFL) {
		g_test_skip("SIGBUS has a handler (sanitizer)");
		return;
	}
	terminal_open(&terminal);
	pipe_open(output);
	pid_t pid = fork();

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0)
		lose_memory(&terminal, output[1]);
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	g_assert_cmpint(read(output[0], text, sizeof(text) - 1), >, 0);
	g_assert_cmpstr(text, ==, "it is gone\n");
	g_assert_true(terminal_is_as_found(&terminal));
	fds_close(output);
	terminal_close(&terminal);
}

static void test_exit(void)
{
	Terminal terminal;
	int status;

	terminal_open(&terminal);
	pid_t pid = fork_on_terminal(&terminal, false);

	g_assert_true(terminal_is_raw(&terminal));
	fd_put(terminal.master, "e");
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	g_assert_true(terminal_is_as_found(&terminal));
	terminal_close(&terminal);
}

/* Stopped, the terminal is as it was; continued, it is raw again, whatever a shell did meanwhile.
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
			g_assert_true(terminal_is_as_found(&terminal));
		tcsetattr(terminal.slave, TCSANOW, &terminal.found);
		kill(pid, SIGCONT);
		wait_until_raw(&terminal);
	}
	fd_put(terminal.master, "e");
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status));
	g_assert_true(terminal_is_as_found(&terminal));
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
	g_assert_true(terminal_is_as_found(terminal));
	fd_put(terminal->master, "e\n");
	g_assert_cmpint(waitpid(pid, &status, WUNTRACED | WNOHANG), ==, 0);
	while (fd_available(terminal->slave) != 2)
		g_usleep(1000);
	fd_assert(terminal->slave, "e\n");
	g_assert_cmpint(tcsetpgrp(terminal->slave, pid), ==, 0);
	wait_until_raw(terminal);
	fd_put(terminal->master, "e");
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	g_assert_true(terminal_is_as_found(terminal));
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/console-terminal/exit", test_exit);
	g_test_add_func("/console-terminal/fatal", test_fatal);
	g_test_add_func("/console-terminal/lost-memory", test_lost_memory);
	g_test_add_func("/console-terminal/stop-and-continue", test_stop_and_continue);
	g_test_add_func("/console-terminal/background", test_background);
	return g_test_run();
}
