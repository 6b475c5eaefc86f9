// SPDX-License-Identifier: MIT
/* What happens to a guest on its way, as `umbra migrate` tells it. */
#ifndef UMBRA_CLI_MOVING_H
#define UMBRA_CLI_MOVING_H

#include "cli/client.h"

/* Post-copy broke off and can be resumed (umbra(1), EXIT STATUS). */
#define EXIT_RESUME 3

typedef struct Moving {
	const char *guest, *uri; /* as typed */
	bool dry_run, quiet;
	bool resumed; /* the guest runs there since an earlier command */
	/* Of moving_follow() itself. */
	bool runs_there;
} Moving;

/*
 * Follows the migration that was begun; when the guest has gone, ends the process that it came
 * from. Gives the exit status; with *error set, that is what to print.
 */
int moving_follow(Moving *moving, Client *client, int interrupt_fd, GError **error);

#endif
