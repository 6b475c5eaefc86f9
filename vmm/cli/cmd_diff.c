// SPDX-License-Identifier: MIT
/*
 * umbra diff: two states side by side. Exit status: 0 the same, 1 different, 2 one of
 * them cannot be had.
 */
#include "cli/cli.h"
#include "cli/target.h"
#include "cli/terminal.h"

#include "base/error.h"
#include "inspect/diff_view.h"
#include "mem/ram_compare.h"

#include <stdio.h>

/* Why RAM cannot be compared, or NULL. */
static const char *why_no_ram(const Target *a, const Target *b, const MachineState *first,
			      const MachineState *second)
{
	if (a->client || b->client)
		return "of a running guest only the rest is read";
	return first->memory == second->memory ? NULL : "it has not the same size";
}

static bool compare_ram(const Target *a, const Target *b, RamDifference *ret_ram, GError **error)
{
	g_autofree char *lost = target_lost_text(a, b);
	g_autofree uint64_t *pages_a = snapshot_ram_pages(a->snapshot, error);
	g_autofree uint64_t *pages_b = pages_a ? snapshot_ram_pages(b->snapshot, error) : NULL;
	g_autoptr(GuestMemory) first = pages_b ? target_memory(a, error) : NULL;
	g_autoptr(GuestMemory) second = first ? target_memory(b, error) : NULL;

	if (!second)
		return false;
	terminal_on_lost_memory(lost, EXIT_TROUBLE);
	ram_compare(first, second, pages_a, pages_b, ret_ram);
	return snapshot_still_whole(a->snapshot, error) && snapshot_still_whole(b->snapshot, error);
}

static int diff(Target *a, Target *b, bool json, GError **error)
{
	const MachineState *first = target_state(a, error);
	const MachineState *second = first ? target_state(b, error) : NULL;
	RamDifference ram;

	if (!second)
		return EXIT_TROUBLE;
	g_autoptr(GPtrArray) differences = machine_state_compare(first, second);
	DiffView view = {
		.differences = differences,
		.a = a->name,
		.b = b->name,
		.why_no_ram = why_no_ram(a, b, first, second),
	};

	if (!view.why_no_ram) {
		if (!compare_ram(a, b, &ram, error))
			return EXIT_TROUBLE;
		view.ram = &ram;
	}
	if (json) {
		g_autoptr(json_object) all = diff_view_to_json(&view);

		puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		g_autofree char *text = diff_view_to_text(&view);

		fputs(text, stdout);
	}
	return cli_answered("diff", diff_view_is_same(&view) ? EXIT_YES : EXIT_NO);
}

int cmd_diff(int argc, char **argv)
{
	gboolean json = FALSE;
	const GOptionEntry entries[] = {
		{"json", 'j', 0, G_OPTION_ARG_NONE, &json, "for programs", NULL},
		{0},
	};
	g_auto(Target) a = {0}, b = {0};
	g_autoptr(GError) error = NULL;

	if (!cli_parse(&argc, &argv, entries, "TARGET TARGET",
		       "Tells what two snapshots or guests differ in.", 3, &error) ||
	    !target_open(argv[1], &a, &error) || !target_open(argv[2], &b, &error))
		return cli_error(error);
	int status = diff(&a, &b, json, &error);

	return error ? cli_error(error) : status;
}
