// SPDX-License-Identifier: MIT
/* What two states differ in (state/compare.h), for people and for programs. */
#ifndef UMBRA_INSPECT_DIFF_VIEW_H
#define UMBRA_INSPECT_DIFF_VIEW_H

#include "base/json.h"
#include "state/compare.h"
#include "state/ram_difference.h"

typedef struct DiffView {
	const GPtrArray *differences; /* of StateDifference */
	const RamDifference *ram;     /* NULL: it was not compared, … */
	const char *why_no_ram;	      /* … because */
	const char *a;		      /* what is compared, as people call it */
	const char *b;
} DiffView;

/* Is there a difference that means something? Not what runs on by itself. */
bool diff_view_is_same(const DiffView *view);

/* Lines for people; free with g_free. */
char *diff_view_to_text(const DiffView *view);

/*
 * {"version": 1, "same", "differences": [{"path", "a", "b", "moves"}…],
 *  "ram": {"compared": true, "pages", "different", "first": ["0x…"…]}
 *         or {"compared": false, "why"}}; null stands for a value that is not there.
 */
json_object *diff_view_to_json(const DiffView *view);

#endif
