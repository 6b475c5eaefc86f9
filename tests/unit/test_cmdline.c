// SPDX-License-Identifier: MIT
#include "boot/cmdline.h"

#include <glib.h>

static void test_rows(void)
{
	static const struct {
		const char *asked, *expected;
	} rows[] = {
		{"", "reboot=acpi"},
		{"console=ttyS0", "reboot=acpi console=ttyS0"},
		{"console=ttyS0 -- sh -c reboot=1", "reboot=acpi console=ttyS0 -- sh -c reboot=1"},
		{"xreboot=t", "reboot=acpi xreboot=t"},
		{"reboot=t", "reboot=t"},
		{"quiet reboot=k panic=-1", "quiet reboot=k panic=-1"},
		{"quiet\treboot=t", "quiet\treboot=t"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *made = cmdline_for_linux(rows[i].asked);

		g_assert_cmpstr(made, ==, rows[i].expected);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cmdline/rows", test_rows);
	return g_test_run();
}
