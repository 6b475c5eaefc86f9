// SPDX-License-Identifier: MIT
/*
 * umbra run: options → machine → main loop → how it ended.
 *
 * The main thread owns the terminal, signals and (later) the control socket;
 * vCPU threads touch the console only through console_write().
 */
#include "cli/cli.h"

#include "base/error.h"
#include "base/layout.h"
#include "base/parse.h"
#include "cli/console.h"
#include "cli/run_control.h"
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

typedef struct Options {
	char *memory;
	char *cpus;
	char *cet;
	MachineConfig config;
	RunControlConfig control;
} Options;

static void options_finish(Options *options)
{
	g_free(options->memory);
	g_free(options->cpus);
	g_free(options->cet);
	g_free(options->control.name);
	g_free(options->control.qmp);
	g_free((char *)options->config.kvm_path);
	g_free((char *)options->config.kernel);
	g_free((char *)options->config.initrd);
	g_free((char *)options->config.cmdline);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_finish)

static bool parse_cet(const char *text, CetPolicy *ret_policy, GError **error)
{
	static const char *const names[] = {
		[CET_POLICY_AUTO] = "auto",
		[CET_POLICY_ON] = "on",
		[CET_POLICY_OFF] = "off",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_policy = (CetPolicy)i;
			return true;
		}
	return umbra_fail(error, UMBRA_ERROR_USAGE, "--cet: '%s' is none of auto, on, off", text);
}

static bool options_parse(Options *options, int argc, char **argv, GError **error)
{
	MachineConfig *config = &options->config;
	const GOptionEntry entries[] = {
		{"kernel", 'k', 0, G_OPTION_ARG_FILENAME, &config->kernel,
		 "bzImage or uncompressed ELF kernel", "FILE"},
		{"initrd", 'i', 0, G_OPTION_ARG_FILENAME, &config->initrd, "initial RAM disk",
		 "FILE"},
		{"initramfs", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &config->initrd, NULL,
		 NULL},
		{"cmdline", 'c', 0, G_OPTION_ARG_STRING, &config->cmdline, "kernel command line",
		 "STR"},
		{"append", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &config->cmdline, NULL,
		 NULL},
		{"memory", 'm', 0, G_OPTION_ARG_STRING, &options->memory,
		 "RAM, 64M to 4T (default 512M)", "SIZE"},
		{"cpus", 'p', 0, G_OPTION_ARG_STRING, &options->cpus, "vCPUs (default 1)", "N"},
		{"cet", 0, 0, G_OPTION_ARG_STRING, &options->cet,
		 "CET in the guest: what the host can, or refuse to start, or none", "auto|on|off"},
		{"name", 'n', 0, G_OPTION_ARG_STRING, &options->control.name,
		 "what other commands call this guest (default umbra-PID)", "NAME"},
		{"qmp", 0, 0, G_OPTION_ARG_FILENAME, &options->control.qmp,
		 "listen for QMP clients at this path too", "SOCKET"},
		{"kvm", 0, 0, G_OPTION_ARG_FILENAME, &config->kvm_path,
		 "KVM's device (default " KVM_DEFAULT_PATH ")", "PATH"},
		{0},
	};
	uint64_t cpus = 1;

	config->memory = 512 * LAYOUT_MIB;
	if (!cli_parse(&argc, &argv, entries, "--kernel FILE [OPTION…]",
		       "Boots a guest with its console on this terminal (Ctrl-A h for help).", 1,
		       error))
		return false;
	if (!config->kernel)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "run: no kernel: give --kernel FILE");
	if (options->memory && !parse_size("--memory", options->memory, &config->memory, error))
		return false;
	if (options->cpus && !parse_uint("--cpus", options->cpus, 1, LAYOUT_CPUS_MAX, &cpus, error))
		return false;
	if (options->cet && !parse_cet(options->cet, &config->cet, error))
		return false;
	config->cpus = (unsigned)cpus;
	if (!config->kvm_path)
		config->kvm_path = g_strdup(KVM_DEFAULT_PATH);
	if (!config->cmdline)
		config->cmdline = g_strdup("");
	return true;
}

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
	g_auto(Options) options = {0};
	g_autoptr(GError) error = NULL;
	Session session = {0};
	int status = EXIT_TROUBLE;

	if (!options_parse(&options, argc, argv, &error))
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
	machine_destroy(session.machine);
	console_destroy(session.console);
	g_main_loop_unref(session.loop);
	return error ? cli_error(error) : status;
}
