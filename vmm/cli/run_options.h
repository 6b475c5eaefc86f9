// SPDX-License-Identifier: MIT
/*
 * What `umbra run` and `umbra restore` were told: options of the command line, checked as
 * far as that needs no host. Every error is UMBRA_ERROR_USAGE and names the option.
 */
#ifndef UMBRA_CLI_RUN_OPTIONS_H
#define UMBRA_CLI_RUN_OPTIONS_H

#include "cli/session.h"
#include "machine/machine.h"

typedef struct RunOptions {
	char *memory, *cpus, *cet; /* as typed */
	char *cpu_like;		   /* run: a file */
	char *file;		   /* restore: the snapshot */
	char *incoming, *tls;	   /* run: where a guest comes from, or NULL */
	char *patience_text;	   /* as typed */
	unsigned patience_ms;
	gboolean allow_remote;
	MachineConfig config;
	SessionConfig session;
} RunOptions;

bool run_options_parse(RunOptions *options, int argc, char **argv, GError **error);
/* Of `config`, only kvm_path and cet are filled in: the rest is in the file. */
bool restore_options_parse(RunOptions *options, int argc, char **argv, GError **error);
void run_options_finish(RunOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunOptions, run_options_finish)

#endif
