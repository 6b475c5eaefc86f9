// SPDX-License-Identifier: MIT
/* What `umbra run` was told: options of the command line, checked as far as that needs no host. */
#ifndef UMBRA_CLI_RUN_OPTIONS_H
#define UMBRA_CLI_RUN_OPTIONS_H

#include "cli/run_control.h"
#include "machine/machine.h"

typedef struct RunOptions {
	char *memory, *cpus, *cet; /* as typed */
	MachineConfig config;
	RunControlConfig control;
} RunOptions;

/* Every error is UMBRA_ERROR_USAGE and names the option. */
bool run_options_parse(RunOptions *options, int argc, char **argv, GError **error);
void run_options_finish(RunOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunOptions, run_options_finish)

#endif
