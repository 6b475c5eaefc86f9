// SPDX-License-Identifier: MIT
/*
 * umbra host: what this host's KVM offers for CET.
 *
 * Exit status: 0 if a guest can have shadow stacks whose whole state can be
 * saved and restored (IBT may be missing: AMD has none), 1 if not, 2 if there
 * is no KVM to ask. What is missing is told in every case.
 */
#include "cli/cli.h"

#include "inspect/host_text.h"
#include "kvm/host.h"

#include <stdio.h>

int cmd_host(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *kvm = NULL;
	gboolean json = FALSE;
	g_auto(HostInfo) info = {0};
	const GOptionEntry entries[] = {
		{"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print JSON", NULL},
		{"kvm", 0, 0, G_OPTION_ARG_FILENAME, &kvm, "the KVM device (default: /dev/kvm)",
		 "PATH"},
		G_OPTION_ENTRY_NULL,
	};

	if (!cli_parse(&argc, &argv, entries, "",
		       "Tells what this host's KVM offers for CET, and for each thing missing the "
		       "reason and the remedy.",
		       1, &error))
		return cli_error(error);

	host_probe(&(HostPaths){.kvm = kvm}, &info);
	g_autofree char *text = json ? host_json(&info) : host_text(&info);

	fputs(text, stdout);
	return cli_answered("host", info.access != HOST_KVM_USABLE ? EXIT_TROUBLE
				    : host_info_has_cet(&info)	   ? EXIT_YES
								   : EXIT_NO);
}
