// SPDX-License-Identifier: MIT
#include "cli/terminal.h"

#include "base/error.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/*
 * The one mutable variable at file scope: signal handlers and atexit() get no
 * argument. All that touches it is async-signal-safe (POSIX 2.4.3).
 */
static struct {
	int fd;
	volatile sig_atomic_t entered; /* between terminal_enter() and terminal_leave() */
	volatile sig_atomic_t raw;     /* `found` has to be put back */
	struct termios found;
	const char *lost_text; /* of terminal_on_lost_memory() */
	int lost_status;
} terminal;

/* A terminal that does not control this process has no foreground: nobody else reads it. */
static bool in_foreground(void)
{
	pid_t group = tcgetpgrp(terminal.fd);

	return group < 0 || group == getpgrp();
}

static bool make_raw(void)
{
	struct termios raw;

	if (!terminal.raw && tcgetattr(terminal.fd, &terminal.found) < 0)
		return false;
	raw = terminal.found;
	cfmakeraw(&raw);
	/* Before the call: a signal right after it must find that there is something to undo. */
	terminal.raw = 1;
	/* Not TCSADRAIN: that would wait for a terminal that was stopped with Ctrl-S. */
	return tcsetattr(terminal.fd, TCSANOW, &raw) == 0;
}

static void give_back(void)
{
	if (!terminal.raw)
		return;
	if (in_foreground())
		tcsetattr(terminal.fd, TCSANOW, &terminal.found);
	terminal.raw = 0;
}

/* The disposition is the default again by now (SA_RESETHAND): the process dies as it would have. */
static void on_fatal(int signal_number)
{
	give_back();
	raise(signal_number);
}

static void on_stop(int signal_number)
{
	int saved_errno = errno;

	(void)signal_number;
	give_back();
	raise(SIGSTOP);
	errno = saved_errno;
}

/* Also when it seems to be raw: after SIGSTOP the shell has set modes of its own. */
static void on_continue(int signal_number)
{
	int saved_errno = errno;

	(void)signal_number;
	if (terminal.entered && in_foreground())
		make_raw();
	errno = saved_errno;
}

static void at_exit(void)
{
	terminal_leave();
}

/*
 * Only where nobody has decided otherwise: what was ignored when the program
 * started stays so, and a sanitizer keeps its report. SIGINT, SIGTERM and SIGHUP
 * are not here: they end the main loop, and so come by terminal_leave().
 */
static void install_handlers(void)
{
	static const struct {
		int number;
		int flags;
		void (*handler)(int);
	} handlers[] = {
		{SIGQUIT, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGABRT, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGSEGV, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGBUS, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGILL, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGFPE, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGSYS, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGALRM, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGXCPU, SA_RESETHAND | SA_NODEFER, on_fatal},
		{SIGTSTP, SA_RESTART, on_stop},
		{SIGCONT, SA_RESTART, on_continue},
		{SIGTTIN, SA_RESTART, SIG_IGN},
		{SIGTTOU, SA_RESTART, SIG_IGN},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(handlers); i++) {
		struct sigaction action = {.sa_handler = handlers[i].handler,
					   .sa_flags = handlers[i].flags};
		struct sigaction before;

		sigemptyset(&action.sa_mask);
		if (sigaction(handlers[i].number, NULL, &before) == 0 &&
		    before.sa_handler == SIG_DFL)
			sigaction(handlers[i].number, &action, NULL);
	}
	atexit(at_exit);
}

bool terminal_enter(int fd, GError **error)
{
	g_assert(!terminal.entered);
	terminal.fd = fd;
	install_handlers();
	terminal.entered = 1;
	if (in_foreground() && !make_raw()) {
		int saved_errno = errno;

		terminal_leave();
		return umbra_fail_errno(error, saved_errno, "cannot make the terminal raw");
	}
	return true;
}

bool terminal_ours(void)
{
	if (!in_foreground())
		return false;
	return terminal.raw || make_raw();
}

void terminal_leave(void)
{
	if (!terminal.entered)
		return;
	terminal.entered = 0;
	give_back();
}

static void on_lost_memory(int signal_number)
{
	(void)signal_number;
	terminal_leave();
	(void)!write(STDERR_FILENO, terminal.lost_text, strlen(terminal.lost_text));
	_exit(terminal.lost_status);
}

void terminal_on_lost_memory(const char *text, int status)
{
	struct sigaction action = {.sa_handler = on_lost_memory};
	struct sigaction before;

	terminal.lost_text = text;
	terminal.lost_status = status;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
		sigaction(SIGBUS, &action, NULL);
}
