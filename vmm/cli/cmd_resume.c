// SPDX-License-Identifier: MIT
#include "cli/cli.h"
#include "cli/client.h"

int cmd_resume(int argc, char **argv)
{
	return client_run_command(argc, argv, "Lets a paused guest go on.", "cont");
}
