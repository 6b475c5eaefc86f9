// SPDX-License-Identifier: MIT
/*
 * umbra run: options → machine → main loop → how it ended.
 *
 * The main thread owns the terminal, signals and the control socket;
 * vCPU threads touch the console only through console_write().
 */
#include "cli/cli.h"

#include "cli/console.h"
#include "cli/run_control.h"
#include "cli/run_options.h"
#include "inspect/machine_text.h"
#include "machine/machine.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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
	{MACHINE_END_INTERNAL_ERROR, 5, "KVM cannot go on with the guest"},
	{MACHINE_END_FAIL_ENTRY, 5, "KVM cannot enter the guest"},
	{MACHINE_END_FAILED, 5, "the guest cannot go on"},
};

/* Who ended the guest from outside: in words, and as QMP has it. */
typedef struct StopCause {
	const char *text;
	const char *qmp_reason;
} StopCause;

static const StopCause by_escape_key = {"by the escape key", "host-ui"};
static const StopCause by_signal = {"by a signal", "host-signal"};
static const StopCause by_client = {"by a QMP client", "host-qmp-quit"};

/* What the main loop knows. */
typedef struct Session {
	GMainLoop *loop;
	Console *console;
	Machine *machine;
	RunControl control;
	const StopCause *stopped_by; /* why machine_stop, if it came to that */
} Session;

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

static void console_quit(void *owner)
{
	stop(owner, &by_escape_key);
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
	stop(owner, &by_signal);
	return G_SOURCE_CONTINUE;
}

static void report_end(const Session *session, const MachineEnd *end, const char *text)
{
	g_autofree char *registers = NULL;

	if (end->kind == MACHINE_END_STOPPED) {
		fprintf(stderr, "umbra: stopped %s\n", session->stopped_by->text);
		return;
	}
	fprintf(stderr, "umbra: %s", text);
	if (end->why[0])
		fprintf(stderr, ": vcpu %u: %s", end->vcpu, end->why);
	fputc('\n', stderr);
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

/* From here on the terminal is raw: every way out passes console_destroy. */
static int run_guest(Session *session, const RunControlConfig *control, GError **error)
{
	static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};
	const MachineEnd *end;

	for (size_t i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		if (!is_ignored(ending_signals[i]))
			g_unix_signal_add(ending_signals[i], on_signal, session);
	if (!run_control_start(&session->control, control, session->machine, client_quit, session,
			       error) ||
	    !console_start(session->console, error) ||
	    !machine_start(session->machine, false, error))
		return EXIT_TROUBLE;
	g_main_loop_run(session->loop);
	if (session->stopped_by)
		machine_stop(session->machine);
	end = machine_wait(session->machine);
	run_control_announce_end(&session->control, end,
				 session->stopped_by ? session->stopped_by->qmp_reason : NULL);
	console_stop(session->console);
	return status_of(session, end);
}

int cmd_run(int argc, char **argv)
{
	g_auto(RunOptions) options = {0};
	g_autoptr(GError) error = NULL;
	Session session = {0};
	int status = EXIT_TROUBLE;

	if (!run_options_parse(&options, argc, argv, &error))
		return cli_error(error);
	ConsoleSinks console_sinks = {
		.input = console_input,
		.output_ready = console_output_ready,
		.quit = console_quit,
		.owner = &session,
	};

	session.loop = g_main_loop_new(NULL, FALSE);
	session.console = console_create(STDIN_FILENO, STDOUT_FILENO, &console_sinks);
	MachineSink machine_sink = {
		.ended = guest_ended,
		.console = {.write = console_write, .owner = session.console},
		.owner = &session,
	};

	session.machine = machine_create(&options.config, &machine_sink, &error);
	if (session.machine) {
		serial_on_room(machine_console(session.machine), console_room, session.console);
		status = run_guest(&session, &options.control, &error);
	}
	run_control_finish(&session.control);
	/*
	 * The machine is left to the end of the process: while its memory map still
	 * exists, KVM takes the VM's own memory slots out one by one and waits for a
	 * grace period each time (arch/x86/kvm/x86.c, kvm_arch_destroy_vm).
	 */
	console_destroy(session.console);
	g_main_loop_unref(session.loop);
	return error ? cli_error(error) : status;
}
