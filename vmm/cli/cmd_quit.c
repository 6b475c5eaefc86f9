// SPDX-License-Identifier: MIT
#include "cli/cli.h"
#include "cli/client.h"

/* Waits, so that what comes next in a script finds the guest's name and files free. */
int cmd_quit(int argc, char **argv)
{
	return client_run_command(argc, argv,
				  "Ends the guest at once, without asking it, and waits for that.",
				  "quit", true);
}
