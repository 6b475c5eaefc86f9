// SPDX-License-Identifier: MIT
/*
 * umbra check: would this state load here, or on the host described? Exit status: 0 yes,
 * 1 no, 2 the state or the host cannot be told.
 */
#include "cli/cli.h"
#include "cli/host_file.h"
#include "cli/progress.h"
#include "cli/target.h"

#include "base/error.h"
#include "inspect/check_view.h"
#include "kvm/host.h"

#include <stdio.h>

typedef struct CheckOptions {
	char *host; /* a file */
	char *kvm;
	gboolean json;
	gboolean quick;
} CheckOptions;

static void check_options_finish(CheckOptions *options)
{
	g_free(options->host);
	g_free(options->kvm);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CheckOptions, check_options_finish)

static bool parse(CheckOptions *options, int *argc, char ***argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"host", 0, 0, G_OPTION_ARG_FILENAME, &options->host,
		 "the destination, as `umbra host --json` described itself there (default: this "
		 "host)",
		 "FILE"},
		{"quick", 0, 0, G_OPTION_ARG_NONE, &options->quick,
		 "leave out the checksums of a snapshot's RAM", NULL},
		{"json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "for programs", NULL},
		{"kvm", 0, 0, G_OPTION_ARG_FILENAME, &options->kvm,
		 "this host's KVM device (default: /dev/kvm)", "PATH"},
		{0},
	};

	return cli_parse(argc, argv, entries, "TARGET",
			 "Tells whether a snapshot or a running guest would load on a host, and "
			 "everything that speaks against it.",
			 2, error);
}

static bool find_host(const CheckOptions *options, HostInfo *info, GError **error)
{
	if (options->host)
		return host_file_read("--host", options->host, info, error);
	host_probe(&(HostPaths){.kvm = options->kvm}, info);
	return info->access == HOST_KVM_USABLE ||
	       umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
			  "check: there is no KVM here to ask: %s; give the destination's "
			  "description by --host (`umbra host --json` there makes one)",
			  info->reason);
}

static bool show(void *owner, uint64_t done, uint64_t total)
{
	(void)owner;
	progress_show(done, total, NULL);
	return true;
}

/* RAM that is not what it was is no question of the host: the file is damaged. */
static bool verify(const Target *target, GError **error)
{
	const SnapshotProgress progress = {.report = show};
	bool seen = progress_is_seen();
	bool done = snapshot_verify_ram(target->snapshot, seen ? &progress : NULL, error);

	if (seen)
		progress_clear();
	return done;
}

static void print_json(const Target *target, const HostInfo *host, const GPtrArray *problems,
		       bool verified)
{
	g_autoptr(json_object) json = json_object_new_object();
	json_object *on = json_object_new_object();

	json_object_object_add(on, "kernel", json_object_new_string(host->kernel));
	json_object_object_add(on, "backend",
			       host->backend ? json_object_new_string(host->backend) : NULL);
	json_object_object_add(json, "version", json_object_new_int(1));
	json_object_object_add(json, "source", json_object_new_string(target_source(target)));
	json_object_object_add(json, "host", on);
	json_object_object_add(json, "loads", json_object_new_boolean(problems->len == 0));
	json_object_object_add(json, "ram_verified", json_object_new_boolean(verified));
	json_object_object_add(json, "problems", check_to_json(problems));
	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void print_text(const Target *target, const CheckOptions *options, const HostInfo *host,
		       const GPtrArray *problems)
{
	g_autofree char *text = check_to_text(problems);
	const char *where = options->host ? options->host : "this host";

	fputs(text, stdout);
	if (problems->len == 0)
		printf("%s: loads on %s (Linux %s)\n", target->name, where, host->kernel);
	else
		printf("%s: would not load on %s (Linux %s): %u problem%s\n", target->name, where,
		       host->kernel, problems->len, problems->len == 1 ? "" : "s");
}

static int check(Target *target, const CheckOptions *options, GError **error)
{
	bool ram = target->snapshot && !options->quick;
	const MachineState *state = target_state(target, error);
	g_auto(HostInfo) host = {0};

	if (!state || !find_host(options, &host, error) || (ram && !verify(target, error)))
		return EXIT_TROUBLE;
	g_autoptr(GPtrArray) problems = machine_state_check(state, &host);

	if (options->json)
		print_json(target, &host, problems, ram);
	else
		print_text(target, options, &host, problems);
	return cli_answered("check", problems->len == 0 ? EXIT_YES : EXIT_NO);
}

int cmd_check(int argc, char **argv)
{
	g_auto(CheckOptions) options = {0};
	g_auto(Target) target = {0};
	g_autoptr(GError) error = NULL;

	if (!parse(&options, &argc, &argv, &error) || !target_open(argv[1], &target, &error))
		return cli_error(error);
	int status = check(&target, &options, &error);

	return error ? cli_error(error) : status;
}
