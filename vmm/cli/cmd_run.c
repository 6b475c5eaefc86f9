// SPDX-License-Identifier: MIT
/* umbra run: options → machine → session. */
#include "cli/cli.h"
#include "cli/host_file.h"
#include "cli/incoming.h"
#include "cli/run_options.h"
#include "cli/session.h"

static int run(Session *session, RunOptions *options, GError **error)
{
	MachineSink sink = session_sink(session);
	g_auto(HostInfo) like = {0};

	if (options->cpu_like) {
		if (!host_file_read("--cpu-like", options->cpu_like, &like, error))
			return EXIT_TROUBLE;
		options->config.cpu_like = &like;
	}
	/*
	 * The machine is left to the end of the process: while its memory map still
	 * exists, KVM takes the VM's own memory slots out one by one and waits for a
	 * grace period each time (arch/x86/kvm/x86.c, kvm_arch_destroy_vm).
	 */
	Machine *machine = machine_create(&options->config, &sink, error);

	return machine ? session_run(session, machine, &options->session, error) : EXIT_TROUBLE;
}

static int run_incoming(Session *session, RunOptions *options, GError **error)
{
	Machine *machine;
	g_autoptr(Incoming) incoming = incoming_wait(session, options, &machine, error);

	if (!incoming)
		return EXIT_TROUBLE;
	if (!machine)
		return session_give_up(session);
	options->session.started = true;
	options->session.arrival = incoming_query;
	options->session.arrival_owner = incoming;
	return session_run(session, machine, &options->session, error);
}

int cmd_run(int argc, char **argv)
{
	g_auto(RunOptions) options = {0};
	g_autoptr(GError) error = NULL;

	if (!run_options_parse(&options, argc, argv, &error))
		return cli_error(error);
	g_autoptr(Session) session = session_create();
	int status = (options.incoming ? run_incoming : run)(session, &options, &error);

	/* A start that this host cannot make is trouble: "no" is said of states alone. */
	return error ? cli_trouble("%s", error->message) : status;
}
