// SPDX-License-Identifier: MIT
#include "mem/dirty_set.h"

struct DirtySet {
	DirtyGroup *group;
	uint64_t *bits;
};

struct DirtyGroup {
	GMutex lock;
	uint64_t pages;
	GPtrArray *sets;
};

static uint64_t *new_bitmap(const DirtyGroup *group)
{
	return g_new0(uint64_t, dirty_group_words(group));
}

static void set_destroy(gpointer data)
{
	DirtySet *set = data;

	g_free(set->bits);
	g_free(set);
}

DirtyGroup *dirty_group_create(uint64_t pages)
{
	DirtyGroup *group = g_new0(DirtyGroup, 1);

	g_mutex_init(&group->lock);
	group->pages = pages;
	group->sets = g_ptr_array_new_with_free_func(set_destroy);
	return group;
}

void dirty_group_destroy(DirtyGroup *group)
{
	if (!group)
		return;
	g_ptr_array_free(group->sets, TRUE);
	g_mutex_clear(&group->lock);
	g_free(group);
}

size_t dirty_group_words(const DirtyGroup *group)
{
	return (group->pages + 63) / 64;
}

bool dirty_group_is_empty(DirtyGroup *group)
{
	g_mutex_lock(&group->lock);
	bool empty = group->sets->len == 0;

	g_mutex_unlock(&group->lock);
	return empty;
}

DirtySet *dirty_group_add(DirtyGroup *group)
{
	DirtySet *set = g_new0(DirtySet, 1);

	set->group = group;
	set->bits = new_bitmap(group);
	g_mutex_lock(&group->lock);
	g_ptr_array_add(group->sets, set);
	g_mutex_unlock(&group->lock);
	return set;
}

void dirty_group_remove(DirtyGroup *group, DirtySet *set)
{
	g_mutex_lock(&group->lock);
	g_ptr_array_remove_fast(group->sets, set);
	g_mutex_unlock(&group->lock);
}

/* With the group's lock held. */
static void set_merge(DirtySet *set, const uint64_t *bitmap)
{
	size_t words = dirty_group_words(set->group);

	for (size_t w = 0; w < words; w++)
		set->bits[w] |= bitmap[w];
}

void dirty_group_merge(DirtyGroup *group, const uint64_t *bitmap)
{
	g_mutex_lock(&group->lock);
	for (guint i = 0; i < group->sets->len; i++)
		set_merge(g_ptr_array_index(group->sets, i), bitmap);
	g_mutex_unlock(&group->lock);
}

void dirty_group_mark(DirtyGroup *group, uint64_t offset, uint64_t length)
{
	if (length == 0 || offset >> DIRTY_PAGE_SHIFT >= group->pages)
		return;
	uint64_t space = (group->pages << DIRTY_PAGE_SHIFT) - offset;
	uint64_t first = offset >> DIRTY_PAGE_SHIFT;
	uint64_t last = (offset + MIN(length, space) - 1) >> DIRTY_PAGE_SHIFT;

	g_mutex_lock(&group->lock);
	for (guint i = 0; i < group->sets->len; i++) {
		DirtySet *set = g_ptr_array_index(group->sets, i);

		for (uint64_t page = first; page <= last; page++)
			set->bits[page / 64] |= 1UL << page % 64;
	}
	g_mutex_unlock(&group->lock);
}

uint64_t dirty_set_count(const DirtySet *set)
{
	size_t words = dirty_group_words(set->group);
	uint64_t count = 0;

	g_mutex_lock(&set->group->lock);
	for (size_t w = 0; w < words; w++)
		count += (unsigned)__builtin_popcountl(set->bits[w]);
	g_mutex_unlock(&set->group->lock);
	return count;
}

uint64_t *dirty_set_take(DirtySet *set)
{
	uint64_t *taken, *fresh = new_bitmap(set->group);

	g_mutex_lock(&set->group->lock);
	taken = set->bits;
	set->bits = fresh;
	g_mutex_unlock(&set->group->lock);
	return taken;
}

void dirty_set_put_back(DirtySet *set, const uint64_t *bitmap)
{
	g_mutex_lock(&set->group->lock);
	set_merge(set, bitmap);
	g_mutex_unlock(&set->group->lock);
}
