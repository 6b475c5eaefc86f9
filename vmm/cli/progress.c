// SPDX-License-Identifier: MIT
#include "cli/progress.h"

#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#define MIB (1024.0 * 1024.0)

bool progress_is_seen(void)
{
	return isatty(STDERR_FILENO);
}

void progress_show(uint64_t done, uint64_t total, const char *note)
{
	static const char bar[] = "##############################";
	const int width = sizeof(bar) - 1;
	/* What is sent again counts again. */
	uint64_t part = MIN(done, total);
	int filled = total > 0 ? (int)((double)part / (double)total * width) : 0;

	fprintf(stderr, "\r[%.*s%*s] %.0f of %.0f MiB of RAM%s\033[K", filled, bar, width - filled,
		"", (double)done / MIB, (double)total / MIB, note ? note : "");
}

void progress_clear(void)
{
	fputs("\r\033[K", stderr);
}
