// SPDX-License-Identifier: MIT
/* What writer and reader of the state's tree agree on (docs/snapshot-format.md). */
#ifndef UMBRA_SNAPSHOT_TREE_FORMAT_H
#define UMBRA_SNAPSHOT_TREE_FORMAT_H

#include "state/machine_state.h"

#define TREE_COMPATIBLE "umbra,machine-state"
#define TREE_VERSION	1u
/* The oldest version whose readers understand what is written: rises with what is in it. */
#define TREE_COMPATIBLE_VERSION 1u

/*
 * Names of properties, all together: some 10 KiB with every name there is and as many
 * MSRs and CPUID leaves as KVM knows. libfdt looks for the end of each property's name,
 * so this also bounds what an evil tree can cost.
 */
#define TREE_NAMES_MAX	 (32u << 10)

#define TREE_DEVICES_MAX 256u
#define TREE_MSRS_MAX	 1024u /* for each vCPU */
#define TREE_CPUID_MAX	 256u  /* KVM takes no more (Linux, KVM_MAX_CPUID_ENTRIES) */
#define TREE_KERNEL_MAX	 128u  /* bytes of the name of a kernel */

/* A CPUID leaf: eax ebx ecx edx; and flags and index where the name cannot tell them. */
#define TREE_CPUID_CELLS      4u
#define TREE_CPUID_CELLS_LONG 6u

/* Fields that are nodes of their own; the others are properties. */
static inline bool tree_field_is_node(const StateField *field)
{
	return field->kind == FIELD_GROUP || field->kind == FIELD_MSRS ||
	       field->kind == FIELD_CPUID || field->kind == FIELD_CET;
}

#endif
