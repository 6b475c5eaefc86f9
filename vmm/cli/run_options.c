// SPDX-License-Identifier: MIT
#include "cli/run_options.h"

#include "base/error.h"
#include "base/layout.h"
#include "base/parse.h"
#include "cli/cli.h"

#include <string.h>

/* Seconds; see docs/migration.md. */
#define PATIENCE_DEFAULT 15
#define PATIENCE_MAX	 86400

void run_options_finish(RunOptions *options)
{
	g_free(options->memory);
	g_free(options->cpus);
	g_free(options->cet);
	g_free(options->cpu_like);
	g_free(options->file);
	g_free(options->incoming);
	g_free(options->tls);
	g_free(options->patience_text);
	g_free(options->session.control.name);
	g_free(options->session.control.qmp);
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

/* Options that say where and how a guest runs, not what it is. */
#define COMMON_OPTIONS(options, cet_text)                                               \
	{"cet", 0, 0, G_OPTION_ARG_STRING, &(options)->cet, (cet_text), "auto|on|off"}, \
		{"name",                                                                \
		 'n',                                                                   \
		 0,                                                                     \
		 G_OPTION_ARG_STRING,                                                   \
		 &(options)->session.control.name,                                      \
		 "what other commands call this guest (default umbra-PID)",             \
		 "NAME"},                                                               \
		{"qmp",                                                                 \
		 0,                                                                     \
		 0,                                                                     \
		 G_OPTION_ARG_FILENAME,                                                 \
		 &(options)->session.control.qmp,                                       \
		 "listen for QMP clients at this path too",                             \
		 "SOCKET"},                                                             \
	{                                                                               \
		"kvm", 0, 0, G_OPTION_ARG_FILENAME, &(options)->config.kvm_path,        \
			"KVM's device (default " KVM_DEFAULT_PATH ")", "PATH"           \
	}

static bool finish_common(RunOptions *options, GError **error)
{
	if (options->cet && !parse_cet(options->cet, &options->config.cet, error))
		return false;
	if (!options->config.kvm_path)
		options->config.kvm_path = g_strdup(KVM_DEFAULT_PATH);
	return true;
}

/* What the guest is, it brings along. */
static bool finish_incoming(RunOptions *options, GError **error)
{
	const struct {
		const char *name;
		const char *value;
	} not_here[] = {
		{"--kernel", options->config.kernel},
		{"--initrd", options->config.initrd},
		{"--cmdline", options->config.cmdline},
		{"--memory", options->memory},
		{"--cpus", options->cpus},
		{"--cpu-like", options->cpu_like},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(not_here); i++)
		if (not_here[i].value)
			return umbra_fail(error, UMBRA_ERROR_USAGE,
					  "%s is not for --incoming: it comes with the guest",
					  not_here[i].name);
	uint64_t patience = PATIENCE_DEFAULT;

	if (options->patience_text &&
	    !parse_uint("--patience", options->patience_text, 1, PATIENCE_MAX, &patience, error))
		return false;
	options->patience_ms = (unsigned)patience * 1000;
	return true;
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
		{"cpu-like", 0, 0, G_OPTION_ARG_FILENAME, &options->cpu_like,
		 "show the guest only what another host has, too: what `umbra host --json` said "
		 "there",
		 "FILE"},
		{"incoming", 0, 0, G_OPTION_ARG_STRING, &options->incoming,
		 "boot nothing: wait for a guest that `umbra migrate` sends", "URI"},
		{"allow-remote", 0, 0, G_OPTION_ARG_NONE, &options->allow_remote,
		 "let --incoming tcp: listen beyond this host", NULL},
		{"tls", 0, 0, G_OPTION_ARG_FILENAME, &options->tls,
		 "folder with certificates, for --incoming tls:", "DIR"},
		{"patience", 0, 0, G_OPTION_ARG_STRING, &options->patience_text,
		 "after so long without a word a source counts as lost (default 15)", "SECONDS"},
		COMMON_OPTIONS(options,
			       "CET in the guest: what the host can, or refuse to start, or none"),
		{0},
	};
	uint64_t cpus = 1;

	config->memory = 512 * LAYOUT_MIB;
	if (!cli_parse(&argc, &argv, entries, "--kernel FILE | --incoming URI",
		       "Boots a guest with its console on this terminal (Ctrl-A h for help).", 1,
		       error))
		return false;
	if (options->incoming)
		return finish_incoming(options, error) && finish_common(options, error);
	if (options->tls || options->allow_remote || options->patience_text)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "run: %s needs --incoming",
				  options->tls		  ? "--tls"
				  : options->allow_remote ? "--allow-remote"
							  : "--patience");
	if (!config->kernel)
		return umbra_fail(error, UMBRA_ERROR_USAGE, "run: no kernel: give --kernel FILE");
	if (options->memory && !parse_size("--memory", options->memory, &config->memory, error))
		return false;
	if (options->cpus && !parse_uint("--cpus", options->cpus, 1, LAYOUT_CPUS_MAX, &cpus, error))
		return false;
	config->cpus = (unsigned)cpus;
	if (!config->cmdline)
		config->cmdline = g_strdup("");
	return finish_common(options, error);
}

static gboolean refuse_option(const char *name, const char *value, gpointer data, GError **error)
{
	(void)value, (void)data;
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
		    "%s is not for restore: it is in the file", name);
	return FALSE;
}

/* An option of run's that says what the guest is. */
#define IN_FILE(name, letter)                                                  \
	{                                                                      \
		(name), (letter), G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_CALLBACK, \
			(gpointer)refuse_option, NULL, NULL                    \
	}

bool restore_options_parse(RunOptions *options, int argc, char **argv, GError **error)
{
	gboolean paused = FALSE;
	const GOptionEntry entries[] = {
		{"paused", 0, 0, G_OPTION_ARG_NONE, &paused, "let it wait for `umbra resume`",
		 NULL},
		COMMON_OPTIONS(options, "what the guest must have of CET: either, all, or none"),
		IN_FILE("kernel", 'k'),
		IN_FILE("initrd", 'i'),
		IN_FILE("initramfs", 0),
		IN_FILE("cmdline", 'c'),
		IN_FILE("append", 0),
		IN_FILE("memory", 'm'),
		IN_FILE("cpus", 'p'),
		IN_FILE("cpu-like", 0),
		{0},
	};

	if (!cli_parse(&argc, &argv, entries, "FILE",
		       "Lets the guest of a snapshot go on, with its console on this terminal "
		       "(Ctrl-A h for help).",
		       2, error))
		return false;
	options->file = g_strdup(argv[1]);
	options->session.paused = paused;
	return finish_common(options, error);
}
