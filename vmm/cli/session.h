// SPDX-License-Identifier: MIT
/*
 * A guest at this terminal, from its first instruction to the exit status: what
 * `umbra run` and `umbra restore` have in common. The main thread owns the terminal,
 * signals and the control socket; vCPU threads touch the console only through
 * console_write().
 *
 *   session_create → a machine, made with session_sink() → session_run → session_destroy
 *
 * For a guest that arrives from elsewhere, session_open and session_wait come before it.
 */
#ifndef UMBRA_CLI_SESSION_H
#define UMBRA_CLI_SESSION_H

#include "cli/run_control.h"
#include "machine/machine.h"

typedef struct Session Session;

typedef struct SessionConfig {
	RunControlConfig control;
	bool paused;  /* the guest waits for `umbra resume` */
	bool started; /* it runs already, or was told to: it came from elsewhere, and … */
	ControlArrival arrival; /* … this tells how that stands */
	void *arrival_owner;
	/*
	 * When the guest came to a bad end: a further reason that KVM cannot know (g_free), or
	 * NULL. The function may be NULL.
	 */
	char *(*explain)(void *owner);
	void *owner;
} SessionConfig;

Session *session_create(void);
/* Leaves the machine alone. Accepts NULL. */
void session_destroy(Session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Session, session_destroy)

/* What the machine has to be made with. */
MachineSink session_sink(Session *session);

/*
 * Runs the machine until it ends, says how, and returns the exit status. *error, with
 * EXIT_TROUBLE, if it could not be started.
 */
int session_run(Session *session, Machine *machine, const SessionConfig *config, GError **error);

/* Sockets and signals, without a guest yet. */
bool session_open(Session *session, const SessionConfig *config, GError **error);
/*
 * Lets the main loop run until session_wake(), until the user ends it, or until a machine
 * that was made with session_sink() ends.
 */
void session_wait(Session *session);
/* Has the user ended it? */
bool session_is_stopped(const Session *session);
/* From any thread. */
void session_wake(Session *session);
/* What a client's `quit` does: from the main loop. */
void session_quit(Session *session);
/* Nobody waits any more: says by whose wish, and returns the exit status. */
int session_give_up(Session *session);
RunControl *session_control(Session *session);

#endif
