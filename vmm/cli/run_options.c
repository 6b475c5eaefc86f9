// SPDX-License-Identifier: MIT
#include "cli/run_options.h"

#include "base/error.h"
#include "base/layout.h"
#include "base/parse.h"
#include "cli/cli.h"

#include <string.h>

void run_options_finish(RunOptions *options)
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

bool run_options_parse(RunOptions *options, int argc, char **argv, GError **error)
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
	if (!cli_parse(&argc, &argv, entries, "--kernel FILE",
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
