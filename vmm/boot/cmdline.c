// SPDX-License-Identifier: MIT
#include "boot/cmdline.h"

#include <glib.h>
#include <stdbool.h>

/* What stands behind "--" is init's. */
static bool has_reboot(const char *cmdline)
{
	g_auto(GStrv) words = g_strsplit_set(cmdline, " \t\n", -1);

	for (char **word = words; *word && !g_str_equal(*word, "--"); word++)
		if (g_str_has_prefix(*word, "reboot="))
			return true;
	return false;
}

char *cmdline_for_linux(const char *cmdline)
{
	if (has_reboot(cmdline))
		return g_strdup(cmdline);
	return g_strconcat("reboot=acpi", *cmdline ? " " : "", cmdline, NULL);
}
