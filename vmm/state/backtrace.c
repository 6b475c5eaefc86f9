// SPDX-License-Identifier: MIT
#include "state/backtrace.h"

Backtrace *backtrace_create(void)
{
	Backtrace *backtrace = g_new0(Backtrace, 1);

	backtrace->frames = g_array_new(FALSE, FALSE, sizeof(ShadowStackEntry));
	return backtrace;
}

void backtrace_destroy(Backtrace *backtrace)
{
	if (!backtrace)
		return;
	g_array_unref(backtrace->frames);
	g_free(backtrace);
}
