// SPDX-License-Identifier: MIT
/* How far a long work on RAM is, in one line of the terminal that is drawn anew. */
#ifndef UMBRA_CLI_PROGRESS_H
#define UMBRA_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Is there a terminal that would show it? */
bool progress_is_seen(void);

/* Bytes. `note`, which may be NULL, stands behind the numbers. */
void progress_show(uint64_t done, uint64_t total, const char *note);
void progress_clear(void);

#endif
