// SPDX-License-Identifier: MIT
#include "mem/dirty_set.h"

static void assert_taken(DirtySet *set, size_t words, const uint64_t *expected)
{
	g_autofree uint64_t *taken = dirty_set_take(set);

	g_assert_cmpmem(taken, words * sizeof(*taken), expected, words * sizeof(*expected));
}

static void test_begins_clear(void)
{
	g_autoptr(DirtyGroup) group = dirty_group_create(130);
	DirtySet *set;

	g_assert_cmpuint(dirty_group_words(group), ==, 3);
	g_assert_true(dirty_group_is_empty(group));
	dirty_group_mark(group, 0, 4096);
	set = dirty_group_add(group);
	g_assert_false(dirty_group_is_empty(group));
	g_assert_cmpuint(dirty_set_count(set), ==, 0);
	assert_taken(set, 3, (const uint64_t[]){0, 0, 0});
}

static void test_sets_are_independent(void)
{
	g_autoptr(DirtyGroup) group = dirty_group_create(130);
	DirtySet *one = dirty_group_add(group), *other;

	dirty_group_merge(group, (const uint64_t[]){5, 0, 2});
	other = dirty_group_add(group);
	dirty_group_merge(group, (const uint64_t[]){2, 1UL << 63, 2});
	g_assert_cmpuint(dirty_set_count(one), ==, 5);
	g_assert_cmpuint(dirty_set_count(other), ==, 3);
	assert_taken(one, 3, (const uint64_t[]){7, 1UL << 63, 2});
	g_assert_cmpuint(dirty_set_count(one), ==, 0);
	assert_taken(one, 3, (const uint64_t[]){0, 0, 0});
	dirty_group_merge(group, (const uint64_t[]){1, 0, 0});
	dirty_set_put_back(one, (const uint64_t[]){6, 0, 1});
	assert_taken(one, 3, (const uint64_t[]){7, 0, 1});
	dirty_group_remove(group, one);
	g_assert_false(dirty_group_is_empty(group));
	assert_taken(other, 3, (const uint64_t[]){3, 1UL << 63, 2});
	dirty_group_remove(group, other);
	g_assert_true(dirty_group_is_empty(group));
}

/* Each of these touches the pages named; what lies beyond RAM is left out. */
static void test_marks(void)
{
	static const struct {
		uint64_t offset, length;
		uint64_t expected[2];
	} rows[] = {
		{0, 0, {0, 0}},
		{0, 1, {1, 0}},
		{4095, 1, {1, 0}},
		{4095, 2, {3, 0}},
		{4096, 4096, {2, 0}},
		{4097, 4096, {6, 0}},
		{63 * 4096UL + 7, 4096, {1UL << 63, 1}},
		{69 * 4096UL, 4096, {0, 1 << 5}},
		{69 * 4096UL, UINT64_MAX, {0, 1 << 5}},
		{70 * 4096UL, 4096, {0, 0}},
		{UINT64_MAX, 2, {0, 0}},
		{0, UINT64_MAX, {UINT64_MAX, 0x3f}},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(DirtyGroup) group = dirty_group_create(70);
		DirtySet *set = dirty_group_add(group);

		dirty_group_mark(group, rows[i].offset, rows[i].length);
		assert_taken(set, 2, rows[i].expected);
	}
}

#define MARKS 20000

static void *mark_all(void *owner)
{
	for (uint64_t i = 0; i < MARKS; i++)
		dirty_group_mark(owner, i % 4096 << DIRTY_PAGE_SHIFT, 1);
	return NULL;
}

/* Two mark the same words while a third takes: each page of each is found in the end. */
static void test_threads(void)
{
	g_autoptr(DirtyGroup) group = dirty_group_create(4096);
	DirtySet *set = dirty_group_add(group), *whole = dirty_group_add(group);
	GThread *threads[] = {g_thread_new("a", mark_all, group),
			      g_thread_new("b", mark_all, group)};
	uint64_t seen[4096 / 64] = {0};

	for (unsigned round = 0; round < 200; round++) {
		g_autofree uint64_t *taken = dirty_set_take(set);

		for (unsigned w = 0; w < G_N_ELEMENTS(seen); w++)
			seen[w] |= taken[w];
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
	g_autofree uint64_t *rest = dirty_set_take(set);

	for (unsigned w = 0; w < G_N_ELEMENTS(seen); w++)
		g_assert_cmphex(seen[w] | rest[w], ==, UINT64_MAX);
	g_assert_cmpuint(dirty_set_count(whole), ==, 4096);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/dirty_set/begins_clear", test_begins_clear);
	g_test_add_func("/dirty_set/sets_are_independent", test_sets_are_independent);
	g_test_add_func("/dirty_set/marks", test_marks);
	g_test_add_func("/dirty_set/threads", test_threads);
	return g_test_run();
}
