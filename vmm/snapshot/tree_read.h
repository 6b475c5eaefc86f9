// SPDX-License-Identifier: MIT
/* The parts of state_tree_read(). */
#ifndef UMBRA_SNAPSHOT_TREE_READ_H
#define UMBRA_SNAPSHOT_TREE_READ_H

#include "snapshot/tree_cursor.h"
#include "state/machine_state.h"

/* The rest of a node that the cursor has entered, into the structure at `base`. */
bool tree_read_group(TreeCursor *cursor, const StateGroup *group, void *base);

/* The same for the nodes whose properties are no fields. */
bool tree_read_msrs(TreeCursor *cursor, GArray *msrs);
bool tree_read_cpuid(TreeCursor *cursor, struct kvm_cpuid2 **cpuid);
bool tree_read_cet(TreeCursor *cursor, CetState *cet);

#endif
