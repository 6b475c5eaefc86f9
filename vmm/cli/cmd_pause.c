// SPDX-License-Identifier: MIT
#include "cli/cli.h"
#include "cli/client.h"

int cmd_pause(int argc, char **argv)
{
	return client_run_command(argc, argv, "Stops the guest's processors until `umbra resume`.",
				  "stop");
}
