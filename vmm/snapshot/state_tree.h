// SPDX-License-Identifier: MIT
/*
 * A stopped machine, all but its RAM, as a flattened device tree (libfdt): what
 * files and streams carry. Walks the descriptions of state/fields.h. The bytes
 * read are untrusted.
 */
#ifndef UMBRA_SNAPSHOT_STATE_TREE_H
#define UMBRA_SNAPSHOT_STATE_TREE_H

#include "state/machine_state.h"

/* Larger trees are refused: 254 vCPUs with AMX tiles fit. */
#define STATE_TREE_MAX (16u << 20)

/* Free with g_bytes_unref. Fails only for a state that is too large. */
GBytes *state_tree_write(const MachineState *state, GError **error);

/*
 * UMBRA_ERROR_INPUT names the node or property that is wrong, missing or unknown.
 * What was read is consistent in itself (numbers of vCPUs, lengths); whether a host
 * can load it is for machine_state_check() to say.
 */
MachineState *state_tree_read(const void *data, size_t size, GError **error);

#endif
