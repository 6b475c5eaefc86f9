// SPDX-License-Identifier: MIT
/* Post-copy's two ends by themselves, each against a peer that says what the test wants. */
#include "base/error.h"
#include "migrate/postcopy_target.h"
#include "migrate/source_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGES	 2048u
#define PATIENCE 5000

typedef struct Ends {
	Channel *target, *source;
	PageSpace space;
} Ends;

static void ends_make(Ends *ends)
{
	int fds[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	ends->target = channel_create(fds[0], PATIENCE, NULL);
	ends->source = channel_create(fds[1], PATIENCE, NULL);
	ends->space.pages = PAGES;
	ends->space.bytes = mmap(NULL, (size_t)PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g_assert_true(ends->space.bytes != MAP_FAILED);
}

static void ends_drop(Ends *ends)
{
	channel_destroy(ends->target);
	channel_destroy(ends->source);
	munmap(ends->space.bytes, (size_t)PAGES * PAGE_SIZE);
}

static void send_runs(Channel *channel, MessageType type, PageRun run, uint8_t value)
{
	g_autofree uint8_t *data = g_malloc((size_t)run.n * PAGE_SIZE + 1); /* a run may be empty */

	memset(data, value, (size_t)run.n * PAGE_SIZE);
	g_assert_true(channel_send_data(channel, type, &run, sizeof(run), data,
					type == MESSAGE_RAM ? (size_t)run.n * PAGE_SIZE : 0, NULL));
}

static bool take_later(Ends *ends, Postcopy *postcopy, PageRun run, GError **error)
{
	Message message;

	send_runs(ends->source, MESSAGE_LATER, run, 0);
	g_assert_true(channel_expect(ends->target, MESSAGE_LATER, &message, NULL));
	return postcopy_take_later(postcopy, &message, error);
}

static void test_bad_later(void)
{
	static const PageRun bad[] = {
		{PAGES, 1, 0}, {PAGES - 1, 2, 0}, {UINT64_MAX, 2, 0}, {5, 0, 0}, {5, 1, 1},
	};
	Ends ends;

	ends_make(&ends);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(Postcopy) postcopy = postcopy_create(&ends.space);
		g_autoptr(GError) error = NULL;

		g_assert_false(take_later(&ends, postcopy, bad[i], &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
	}
	ends_drop(&ends);
}

/* Old pages everywhere, and those of `run` are missing; GO has come. */
static Postcopy *begin(Ends *ends, PageRun run)
{
	g_autoptr(GError) error = NULL;
	Postcopy *postcopy;
	Message message;

	ends_make(ends);
	memset(ends->space.bytes, 1, (size_t)PAGES * PAGE_SIZE / 2);
	postcopy = postcopy_create(&ends->space);
	g_assert_true(take_later(ends, postcopy, run, NULL));
	postcopy_begin(postcopy, ends->target, &error);
	g_assert_no_error(error);
	g_assert_true(channel_send(ends->source, MESSAGE_GO, NULL, 0, NULL));
	g_assert_true(postcopy_expect(postcopy, MESSAGE_GO, &message, NULL));
	return postcopy;
}

static void end(Ends *ends, Postcopy *postcopy)
{
	channel_cancel(ends->target);
	postcopy_destroy(postcopy);
	ends_drop(ends);
}

typedef struct Reader {
	Ends *ends;
	uint64_t page;
	uint8_t found;
} Reader;

static void *read_page(void *argument)
{
	Reader *reader = argument;

	reader->found = *(volatile uint8_t *)(reader->ends->space.bytes + reader->page * PAGE_SIZE);
	return NULL;
}

static void expect_want(Ends *ends, uint64_t page)
{
	Message message;
	PageRun run;

	g_assert_true(channel_expect(ends->source, MESSAGE_WANT, &message, NULL));
	g_assert_true(message_copy(&message, &run, sizeof(run), NULL));
	g_assert_cmpuint(run.first, ==, page);
	g_assert_cmpuint(run.n, ==, 1);
}

/* Several wait for a page, one question is sent, and all find what came. */
static void test_asked_once(void)
{
	GThread *threads[4];
	Reader readers[4];
	Ends ends;
	Postcopy *postcopy = begin(&ends, (PageRun){100, 2, 0});

	for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
		readers[i] = (Reader){.ends = &ends, .page = 100};
		threads[i] = g_thread_new("read", read_page, &readers[i]);
	}
	expect_want(&ends, 100);
	send_runs(ends.source, MESSAGE_RAM, (PageRun){100, 1, 0}, 7);
	for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++) {
		g_thread_join(threads[i]);
		g_assert_cmpuint(readers[i].found, ==, 7);
	}
	g_assert_false(channel_is_readable(ends.source, 0));
	end(&ends, postcopy);
}

/* What was not named stays, and what nobody ever touched is zero without a question. */
static void test_others_are_left_alone(void)
{
	Ends ends;
	Postcopy *postcopy = begin(&ends, (PageRun){PAGES / 2 - 1, 1, 0});
	Reader before = {&ends, PAGES / 2 - 2, 9}, behind = {&ends, PAGES / 2 + 1, 9};

	read_page(&before);
	read_page(&behind);
	g_assert_cmpuint(before.found, ==, 1);
	g_assert_cmpuint(behind.found, ==, 0);
	g_assert_false(channel_is_readable(ends.source, 0));
	end(&ends, postcopy);
}

static void test_all_here(void)
{
	Ends ends;
	Postcopy *postcopy = begin(&ends, (PageRun){3, 4, 0});
	GError *error = NULL;

	send_runs(ends.source, MESSAGE_RAM, (PageRun){3, 4, 0}, 8);
	g_assert_cmpint(postcopy_wait(postcopy, &error), ==, POSTCOPY_ALL_HERE);
	postcopy_release(postcopy);
	g_assert_cmpuint(ends.space.bytes[2 * PAGE_SIZE], ==, 1);
	g_assert_cmpuint(ends.space.bytes[6 * PAGE_SIZE], ==, 8);
	g_assert_true(channel_send(ends.source, MESSAGE_END, NULL, 0, NULL));
	g_assert_cmpint(postcopy_wait(postcopy, &error), ==, POSTCOPY_FAREWELL);
	end(&ends, postcopy);
}

/* Each breaks the connection, by name on both sides, and changes no page. */
static void test_wrong_messages(void)
{
	static const struct {
		MessageType type;
		PageRun run;
		const char *words;
	} wrong[] = {
		{MESSAGE_RAM, {50, 1, 0}, "which was not missing"},
		{MESSAGE_RAM, {99, 2, 0}, "which was not missing"},
		{MESSAGE_RAM, {PAGES, 1, 0}, "of a guest that has"},
		{MESSAGE_LATER, {50, 1, 0}, "LATER came among the pages"},
		{MESSAGE_WANT, {100, 1, 0}, "WANT came among the pages"},
		{MESSAGE_STATE, {0, 1, 0}, "STATE came among the pages"},
		{MESSAGE_GO, {0, 1, 0}, "GO came among the pages"},
		{MESSAGE_END, {0, 1, 0}, "END came among the pages"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autoptr(GError) error = NULL, told = NULL;
		Message message;
		Ends ends;
		Postcopy *postcopy = begin(&ends, (PageRun){100, 2, 0});

		send_runs(ends.source, wrong[i].type, wrong[i].run, 9);
		g_assert_cmpint(postcopy_wait(postcopy, &error), ==, POSTCOPY_BROKEN);
		g_assert_nonnull(strstr(error->message, wrong[i].words));
		g_assert_false(channel_receive(ends.source, &message, &told));
		g_assert_nonnull(strstr(told->message, wrong[i].words));
		g_assert_cmpuint(ends.space.bytes[50 * PAGE_SIZE], ==, 1);
		g_assert_cmpuint(ends.space.bytes[99 * PAGE_SIZE], ==, 1);
		end(&ends, postcopy);
	}
}

/* A new connection is told what is missing, and what is waited for. */
static void test_resume(void)
{
	g_autoptr(GError) error = NULL;
	Ends ends, anew;
	Postcopy *postcopy = begin(&ends, (PageRun){100, 20, 0});
	Reader reader = {.ends = &ends, .page = 115};
	GThread *thread = g_thread_new("read", read_page, &reader);
	const PageRun *runs;
	Message message;
	unsigned n;

	expect_want(&ends, 115);
	send_runs(ends.source, MESSAGE_RAM, (PageRun){105, 3, 0}, 7);
	channel_destroy(g_steal_pointer(&ends.source));
	g_assert_cmpint(postcopy_wait(postcopy, &error), ==, POSTCOPY_BROKEN);
	ends_make(&anew);
	g_assert_true(postcopy_resume(postcopy, anew.target, NULL));
	g_assert_true(channel_expect(anew.source, MESSAGE_MISSING, &message, NULL));
	g_assert_true(page_runs_check(&message, &ends.space, &runs, &n, NULL));
	g_assert_cmpuint(n, ==, 2);
	g_assert_cmpuint(runs[0].first, ==, 100);
	g_assert_cmpuint(runs[0].n, ==, 5);
	g_assert_cmpuint(runs[1].first, ==, 108);
	g_assert_cmpuint(runs[1].n, ==, 12);
	g_assert_true(channel_expect(anew.source, MESSAGE_END, &message, NULL));
	expect_want(&anew, 115);
	send_runs(anew.source, MESSAGE_RAM, (PageRun){108, 12, 0}, 6);
	g_thread_join(thread);
	g_assert_cmpuint(reader.found, ==, 6);
	channel_cancel(anew.target);
	end(&ends, postcopy);
	ends_drop(&anew);
}

/* A guest that has ended waits for nothing. */
static void test_let_go(void)
{
	Ends ends;
	Postcopy *postcopy = begin(&ends, (PageRun){100, 2, 0});
	Reader reader = {.ends = &ends, .page = 100, .found = 9};
	GThread *thread = g_thread_new("read", read_page, &reader);

	expect_want(&ends, 100);
	postcopy_let_go(postcopy);
	g_thread_join(thread);
	end(&ends, postcopy);
}

/* The source is asked for what it did not announce, or told what it cannot know. */
static void test_source_refuses(void)
{
	static const struct {
		MessageType type;
		PageRun run;
		const char *words;
	} wrong[] = {
		{MESSAGE_WANT, {99, 1, 0}, "not among those that come later"},
		{MESSAGE_WANT, {101, 2, 0}, "not among those that come later"},
		{MESSAGE_WANT, {PAGES, 1, 0}, "of a guest that has"},
		{MESSAGE_MISSING, {100, 1, 0}, "MISSING came where READY was due"},
		{MESSAGE_COMPLETE, {100, 1, 0}, "COMPLETE came where READY was due"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
		uint64_t bitmap[PAGES / 64] = {0}, later[PAGES / 64] = {0};
		g_autoptr(GError) error = NULL;
		MigrateSource source = {.n_channels = 1, .bitmap = bitmap, .later = later};
		Message message;
		Ends ends;

		ends_make(&ends);
		g_mutex_init(&source.lock);
		source.space = ends.space;
		source.channels[0] = ends.source;
		bitmap_set(later, 100);
		bitmap_set(later, 101);
		send_runs(ends.target, MESSAGE_WANT, (PageRun){100, 1, 0}, 0);
		bitmap_set(bitmap, 100);
		send_runs(ends.target, wrong[i].type, wrong[i].run, 0);
		g_assert_false(source_expect(&source, MESSAGE_READY, &message, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
		g_assert_nonnull(strstr(error->message, wrong[i].words));
		/* What was asked for rightly came before. */
		g_assert_true(channel_expect(ends.target, MESSAGE_RAM, &message, NULL));
		g_assert_false(bitmap_has(bitmap, 100));
		g_mutex_clear(&source.lock);
		ends_drop(&ends);
	}
}

int main(int argc, char **argv)
{
	g_autoptr(GError) refused = NULL;

	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/migrate/postcopy/bad-later", test_bad_later);
	g_test_add_func("/migrate/postcopy/source-refuses", test_source_refuses);
	if (!postcopy_check(&refused)) {
		g_print("# the rest is not run: %s\n", refused->message);
		return g_test_run();
	}
	g_test_add_func("/migrate/postcopy/asked-once", test_asked_once);
	g_test_add_func("/migrate/postcopy/others", test_others_are_left_alone);
	g_test_add_func("/migrate/postcopy/all-here", test_all_here);
	g_test_add_func("/migrate/postcopy/wrong-messages", test_wrong_messages);
	g_test_add_func("/migrate/postcopy/resume", test_resume);
	g_test_add_func("/migrate/postcopy/let-go", test_let_go);
	return g_test_run();
}
