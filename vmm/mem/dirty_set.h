// SPDX-License-Identifier: MIT
/*
 * Which pages of RAM have been written, for several who ask independently of each
 * other: a migration, the next incremental snapshot. Pages are counted where all
 * regions of RAM lie one behind the other (MemoryRegion.offset), 64 to a word,
 * lowest bit first.
 *
 * A group has a lock of its own: pages may be marked from any thread while another
 * one counts or takes.
 */
#ifndef UMBRA_MEM_DIRTY_SET_H
#define UMBRA_MEM_DIRTY_SET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DIRTY_PAGE_SHIFT 12

typedef struct DirtyGroup DirtyGroup;
typedef struct DirtySet DirtySet;

/* For `pages` pages of RAM; no set yet. */
DirtyGroup *dirty_group_create(uint64_t pages);
/* Takes all its sets along. Accepts NULL. */
void dirty_group_destroy(DirtyGroup *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DirtyGroup, dirty_group_destroy)

/* Words of a bitmap over all pages. */
size_t dirty_group_words(const DirtyGroup *group);
bool dirty_group_is_empty(DirtyGroup *group);

/* A further set, all clear. */
DirtySet *dirty_group_add(DirtyGroup *group);
/* Frees the set. */
void dirty_group_remove(DirtyGroup *group, DirtySet *set);

/* Into every set: a whole bitmap, or all pages that [offset, offset + length) touches, in bytes. */
void dirty_group_merge(DirtyGroup *group, const uint64_t *bitmap);
void dirty_group_mark(DirtyGroup *group, uint64_t offset, uint64_t length);

/* Pages in the set. */
uint64_t dirty_set_count(const DirtySet *set);
/*
 * The set as a bitmap (g_free), and the set is empty. Copy the pages after taking:
 * what is written from now on is in the next one.
 */
uint64_t *dirty_set_take(DirtySet *set);
/* Adds what was taken and not used after all. */
void dirty_set_put_back(DirtySet *set, const uint64_t *bitmap);

#endif
