// SPDX-License-Identifier: MIT
#include "cli/session.h"

#include "cli/cli.h"
#include "cli/console.h"
#include "inspect/machine_text.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* How the guest ended, as exit status (umbra(1), EXIT STATUS) and in words. */
static const struct {
	MachineEndKind kind;
	int status;
	const char *text;
} endings[] = {
	{MACHINE_END_POWER_OFF, 0, "the guest powered off"},
	{MACHINE_END_STOPPED, 0, "stopped"},
	{MACHINE_END_RESET, 3, "the guest asked for a reboot"},
	{MACHINE_END_TRIPLE_FAULT, 4, "the guest died of a triple fault"},
	{MACHINE_END_INTERNAL_ERROR, EXIT_CANNOT_GO_ON, "KVM cannot go on with the guest"},
	{MACHINE_END_FAIL_ENTRY, EXIT_CANNOT_GO_ON, "KVM cannot enter the guest"},
	{MACHINE_END_FAILED, EXIT_CANNOT_GO_ON, "the guest cannot go on"},
};

/* Who ended the guest from outside: in words, and as QMP has it. */
typedef struct StopCause {
	const char *text;
	const char *qmp_reason;
} StopCause;

static const StopCause by_escape_key = {"by the escape key", "host-ui"};
static const StopCause by_signal = {"by a signal", "host-signal"};
static const StopCause by_client = {"by a QMP client", "host-qmp-quit"};

struct Session {
	GMainLoop *loop;
	Console *console;
	Machine *machine;
	const SessionConfig *config;
	RunControl control;
	const StopCause *stopped_by; /* why machine_stop, if it came to that */
	const StopCause *stop_later; /* … when the job that must not be ended is over */
	bool is_open;
};

/* In the main loop, after a vCPU thread said that the guest ended. */
static gboolean quit_loop(void *owner)
{
	Session *session = owner;

	g_main_loop_quit(session->loop);
	return G_SOURCE_REMOVE;
}

static void guest_ended(void *owner)
{
	g_idle_add_full(G_PRIORITY_HIGH, quit_loop, owner, NULL);
}

static size_t console_input(void *owner, const uint8_t *data, size_t length)
{
	Session *session = owner;

	io_bus_lock(machine_bus(session->machine));
	size_t taken = serial_receive(machine_console(session->machine), data, length);

	io_bus_unlock(machine_bus(session->machine));
	return taken;
}

static void stop(Session *session, const StopCause *cause)
{
	session->stopped_by = cause;
	g_main_loop_quit(session->loop);
}

static void job_is_over(void *owner)
{
	Session *session = owner;

	if (!session->stopped_by)
		stop(session, session->stop_later);
}

/* Who asks by QMP hears the refusal; who cannot hear gets it done as soon as it may be. */
static void stop_if_nothing_is_lost(Session *session, const StopCause *cause)
{
	Job *job = session->control.guest.job;
	g_autoptr(GError) loss = NULL;

	if (!job || job_let_end(job, &loss)) {
		stop(session, cause);
		return;
	}
	cli_warn("not stopped yet %s: %s; this process then ends by itself", cause->text,
		 loss->message);
	session->stop_later = cause;
	job_when_over(job, job_is_over, session);
}

static void console_quit(void *owner)
{
	stop_if_nothing_is_lost(owner, &by_escape_key);
}

static void client_quit(void *owner)
{
	stop(owner, &by_client);
}

static void console_output_ready(void *owner)
{
	Session *session = owner;

	io_bus_lock(machine_bus(session->machine));
	serial_output_ready(machine_console(session->machine));
	io_bus_unlock(machine_bus(session->machine));
}

/* nohup(1) and shells' background jobs ask for signals to stay ignored. */
static bool is_ignored(int signal_number)
{
	struct sigaction action;

	return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static gboolean on_signal(void *owner)
{
	stop_if_nothing_is_lost(owner, &by_signal);
	return G_SOURCE_CONTINUE;
}

/* What KVM cannot know, where it could not go on. */
static void explain(const Session *session, const MachineEnd *end)
{
	const SessionConfig *config = session->config;

	if (!config->explain || end->kind == MACHINE_END_POWER_OFF ||
	    end->kind == MACHINE_END_RESET)
		return;
	g_autofree char *reason = config->explain(config->owner);

	if (reason)
		cli_warn("%s", reason);
}

static void report_end(const Session *session, const MachineEnd *end, const char *text)
{
	g_autofree char *registers = NULL;

	const char *moved_to = control_migration_moved_to(session->control.migration);
	const char *loss = control_migration_loss(session->control.migration);

	if (loss) {
		cli_warn("the guest moved to %s: %s", moved_to, loss);
		return;
	}
	if (moved_to) {
		fprintf(stderr, "umbra: the guest moved to %s\n", moved_to);
		return;
	}
	if (end->kind == MACHINE_END_STOPPED) {
		fprintf(stderr, "umbra: stopped %s\n", session->stopped_by->text);
		return;
	}
	fprintf(stderr, "umbra: %s", text);
	if (end->why[0])
		fprintf(stderr, ": vcpu %u: %s", end->vcpu, end->why);
	fputc('\n', stderr);
	explain(session, end);
	if (end->has_registers) {
		registers = machine_text_registers(&end->regs, &end->sregs);
		fputs(registers, stderr);
	}
}

static int status_of(const Session *session, const MachineEnd *end)
{
	for (size_t i = 0; i < G_N_ELEMENTS(endings); i++)
		if (endings[i].kind == end->kind) {
			report_end(session, end, endings[i].text);
			return endings[i].status;
		}
	g_assert_not_reached();
}

static void watch_signals(Session *session)
{
	static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		if (!is_ignored(ending_signals[i]))
			g_unix_signal_add(ending_signals[i], on_signal, session);
}

bool session_open(Session *session, const SessionConfig *config, GError **error)
{
	session->is_open = true;
	session->config = config;
	watch_signals(session);
	return run_control_open(&session->control, &config->control, error);
}

void session_wait(Session *session)
{
	g_main_loop_run(session->loop);
}

void session_wake(Session *session)
{
	g_idle_add_full(G_PRIORITY_HIGH, quit_loop, session, NULL);
}

void session_quit(Session *session)
{
	stop(session, &by_client);
}

bool session_is_stopped(const Session *session)
{
	return session->stopped_by != NULL;
}

int session_give_up(Session *session)
{
	fprintf(stderr, "umbra: stopped %s\n", session->stopped_by->text);
	return EXIT_YES;
}

RunControl *session_control(Session *session)
{
	return &session->control;
}

/* From the console's start on the terminal is raw: every way out passes console_destroy. */
static bool start(Session *session, GError **error)
{
	return console_start(session->console, error) &&
	       (session->config->started ||
		machine_start(session->machine, session->config->paused, error));
}

int session_run(Session *session, Machine *machine, const SessionConfig *config, GError **error)
{
	const MachineEnd *end;

	session->machine = machine;
	serial_on_room(machine_console(machine), console_room, session->console);
	if (!session->is_open && !session_open(session, config, error))
		return EXIT_TROUBLE;
	session->config = config;
	run_control_attach(&session->control, machine, client_quit, session);
	if (config->started)
		control_migration_announce_arrival(session->control.migration, config->arrival,
						   config->arrival_owner);
	if (!start(session, error))
		return EXIT_TROUBLE;
	/* A guest that arrived may have ended already, or its user while it arrived. */
	if (!session->stopped_by && !machine_has_ended(machine))
		g_main_loop_run(session->loop);
	/* First what works on the guest, then the guest. */
	run_control_stop_job(&session->control);
	if (session->stopped_by)
		machine_stop(machine);
	end = machine_wait(machine);
	run_control_announce_end(&session->control, end,
				 session->stopped_by ? session->stopped_by->qmp_reason : NULL);
	console_stop(session->console);
	return status_of(session, end);
}

MachineSink session_sink(Session *session)
{
	return (MachineSink){
		.ended = guest_ended,
		.console = {.write = console_write, .owner = session->console},
		.owner = session,
	};
}

Session *session_create(void)
{
	Session *session = g_new0(Session, 1);
	ConsoleSinks sinks = {
		.input = console_input,
		.output_ready = console_output_ready,
		.quit = console_quit,
		.owner = session,
	};

	session->loop = g_main_loop_new(NULL, FALSE);
	session->console = console_create(STDIN_FILENO, STDOUT_FILENO, &sinks);
	return session;
}

void session_destroy(Session *session)
{
	if (!session)
		return;
	run_control_finish(&session->control);
	console_destroy(session->console);
	g_main_loop_unref(session->loop);
	g_free(session);
}
