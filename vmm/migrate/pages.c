// SPDX-License-Identifier: MIT
#include "migrate/pages.h"

#include "base/bytes.h"
#include "base/error.h"

#include <string.h>
#include <sys/mman.h>

#define CHUNK_PAGES  512u /* see page_channel() */
#define DATA_PAGES   (MESSAGE_DATA_MAX / PAGE_SIZE)
#define RUNS_MAX     512u
#define RUNS_AT_ONCE 65536u /* of page_runs_send(), 1 MiB */

/*
 * A message in the making. Pages of a guest that runs are copied together: it may go on
 * writing to its own, and what is summed must be what is sent.
 */
typedef struct Batch {
	Channel *channel;
	const PageSpace *space;
	PageRun runs[RUNS_MAX];
	unsigned n_runs, data_pages;
	uint64_t normal, zero;
	uint8_t *data; /* NULL: the pages are sent from where they are */
} Batch;
G_STATIC_ASSERT(RUNS_MAX <= CHANNEL_PIECES_MAX);

static void batch_free(Batch *batch)
{
	g_free(batch->data);
	g_free(batch);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Batch, batch_free)

static unsigned pieces_of(const Batch *batch, struct iovec *ret_pieces)
{
	unsigned n = 0;

	if (batch->data && batch->data_pages > 0)
		ret_pieces[n++] =
			(struct iovec){batch->data, (size_t)batch->data_pages * PAGE_SIZE};
	for (unsigned i = 0; !batch->data && i < batch->n_runs; i++)
		if (!batch->runs[i].is_zero)
			ret_pieces[n++] = (struct iovec){batch->space->bytes +
								 batch->runs[i].first * PAGE_SIZE,
							 (size_t)batch->runs[i].n * PAGE_SIZE};
	return n;
}

static bool flush(Batch *batch, GError **error)
{
	struct iovec pieces[RUNS_MAX];

	if (batch->n_runs == 0)
		return true;
	bool done = channel_send_pieces(batch->channel, MESSAGE_RAM, batch->runs,
					batch->n_runs * sizeof(batch->runs[0]), pieces,
					pieces_of(batch, pieces), error);

	batch->n_runs = batch->data_pages = 0;
	return done;
}

static bool add(Batch *batch, uint64_t page, bool is_zero, GError **error)
{
	PageRun *last;

	if ((batch->n_runs == RUNS_MAX || batch->data_pages == DATA_PAGES) && !flush(batch, error))
		return false;
	last = batch->n_runs ? &batch->runs[batch->n_runs - 1] : NULL;
	if (last && last->is_zero == is_zero && last->first + last->n == page)
		last->n++;
	else
		batch->runs[batch->n_runs++] = (PageRun){.first = page, .n = 1, .is_zero = is_zero};
	if (is_zero) {
		batch->zero++;
		return true;
	}
	if (batch->data)
		memcpy(batch->data + (size_t)batch->data_pages * PAGE_SIZE,
		       batch->space->bytes + page * PAGE_SIZE, PAGE_SIZE);
	batch->data_pages++;
	batch->normal++;
	return true;
}

static bool add_page(Batch *batch, uint64_t page, GError **error)
{
	bool is_zero = bytes_are_zero(batch->space->bytes + page * PAGE_SIZE, PAGE_SIZE);

	return add(batch, page, is_zero, error);
}

static bool add_word(Batch *batch, uint64_t first, uint64_t word, GError **error)
{
	for (; word; word &= word - 1)
		if (!add_page(batch, first + (unsigned)__builtin_ctzll(word), error))
			return false;
	return true;
}

static bool finish(Batch *batch, bool done, PageCounts *counts, GError **error)
{
	done = done && flush(batch, error);
	atomic_fetch_add(&counts->normal, batch->normal);
	atomic_fetch_add(&counts->zero, batch->zero);
	return done;
}

static Batch *begin(const PageSender *sender)
{
	Batch *batch = g_new(Batch, 1);

	batch->channel = sender->channel;
	batch->space = &sender->space;
	batch->data = sender->still ? NULL : g_malloc(MESSAGE_DATA_MAX);
	batch->n_runs = batch->data_pages = 0;
	batch->normal = batch->zero = 0;
	return batch;
}

static bool is_stopped(const PageSender *sender)
{
	return sender->stop && atomic_load_explicit(sender->stop, memory_order_relaxed);
}

bool pages_send(const PageSender *sender, GError **error)
{
	g_autoptr(Batch) batch = begin(sender);
	uint64_t pages = sender->space.pages;
	bool done = true;

	for (uint64_t page = 0; done && page < pages && !is_stopped(sender); page += 64) {
		uint64_t *word = &sender->bitmap[page / 64];

		if (page_channel(page, sender->channels) != sender->index) {
			page += CHUNK_PAGES - 64; /* chunks begin at multiples of 512 */
		} else if (*word) {
			done = add_word(batch, page, *word, error);
			*word = 0;
		}
	}
	return finish(batch, done, sender->counts, error);
}

bool pages_send_range(const PageSender *sender, uint64_t first, uint64_t n, GError **error)
{
	g_autoptr(Batch) batch = begin(sender);
	uint64_t end = first + MIN(n, sender->space.pages - first);
	bool done = true;

	for (uint64_t page = bitmap_next(sender->bitmap, first, end); done && page < end;
	     page = bitmap_next(sender->bitmap, page, end)) {
		done = add_page(batch, page, error);
		bitmap_clear(sender->bitmap, page);
	}
	return finish(batch, done, sender->counts, error);
}

bool page_runs_send(Channel *channel, MessageType type, const uint64_t *bitmap, uint64_t pages,
		    GError **error)
{
	g_autofree PageRun *runs = g_new(PageRun, RUNS_AT_ONCE);
	unsigned n = 0;

	for (uint64_t page = bitmap_next(bitmap, 0, pages); page < pages;) {
		PageRun *run = &runs[n++];

		*run = (PageRun){.first = page};
		for (; page < pages && bitmap_has(bitmap, page) && run->n < UINT32_MAX; page++)
			run->n++;
		page = bitmap_next(bitmap, page, pages);
		if (n < RUNS_AT_ONCE && page < pages)
			continue;
		if (!channel_send(channel, type, runs, n * sizeof(*runs), error))
			return false;
		n = 0;
	}
	return true;
}

bool page_runs_check(const Message *message, const PageSpace *space, const PageRun **ret_runs,
		     unsigned *ret_n, GError **error)
{
	const PageRun *runs = (const PageRun *)message->payload;
	unsigned n = message->size / sizeof(*runs);

	if (message->size % sizeof(*runs) != 0 || n > PAGE_RUNS_MAX)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "a message %s of %u bytes",
				  message_name(message->type), message->size);
	for (unsigned i = 0; i < n; i++)
		if (runs[i].n == 0 || runs[i].first >= space->pages ||
		    runs[i].n > space->pages - runs[i].first || runs[i].is_zero > 1)
			return umbra_fail(
				error, UMBRA_ERROR_INPUT,
				"a message %s names %u pages at page %#lx of a guest that "
				"has %#lx",
				message_name(message->type), runs[i].n, runs[i].first,
				space->pages);
	*ret_runs = runs;
	*ret_n = n;
	return true;
}

static bool belongs(const PageRun *run, const PageSink *sink)
{
	/* Few runs are longer than a chunk; with one channel all belong. */
	for (uint64_t page = run->first; sink->channels > 1 && page < run->first + run->n;
	     page = (page | (CHUNK_PAGES - 1)) + 1)
		if (page_channel(page, sink->channels) != sink->index)
			return false;
	return true;
}

static bool check_runs(const Message *message, const PageRun *runs, unsigned n,
		       const PageSink *sink, GError **error)
{
	uint64_t data_pages = 0;

	for (unsigned i = 0; i < n; i++) {
		data_pages += runs[i].is_zero ? 0 : runs[i].n;
		if (!belongs(&runs[i], sink))
			return umbra_fail(error, UMBRA_ERROR_INPUT,
					  "page %#lx came by channel %u, which is not its own",
					  runs[i].first, sink->index);
	}
	if (data_pages * PAGE_SIZE != message->data_size)
		return umbra_fail(error, UMBRA_ERROR_INPUT,
				  "a message RAM announces %lu pages and carries %u bytes",
				  data_pages, message->data_size);
	return true;
}

/* Pages that nothing was written to yet are zero already, and stay untouched. */
static void clear(const PageSink *sink, const PageRun *run)
{
	for (uint64_t page = run->first; page < run->first + run->n; page++)
		if (sink->written[page / 64] >> page % 64 & 1)
			memset(sink->space.bytes + page * PAGE_SIZE, 0, PAGE_SIZE);
}

static void note_written(const PageSink *sink, const PageRun *run)
{
	for (uint64_t page = run->first; page < run->first + run->n; page++)
		sink->written[page / 64] |= 1UL << page % 64;
}

static bool receive_in_place(Channel *channel, const PageRun *runs, unsigned n,
			     const PageSink *sink, GError **error)
{
	g_autofree struct iovec *pieces = g_new(struct iovec, n + 1);
	unsigned n_pieces = 0;

	for (unsigned i = 0; i < n; i++) {
		if (runs[i].is_zero)
			continue;
		note_written(sink, &runs[i]);
		pieces[n_pieces++] = (struct iovec){sink->space.bytes + runs[i].first * PAGE_SIZE,
						    (size_t)runs[i].n * PAGE_SIZE};
	}
	if (n_pieces > 0 && !channel_receive_data(channel, pieces, n_pieces, error))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (runs[i].is_zero)
			clear(sink, &runs[i]);
	return true;
}

static bool receive_and_place(Channel *channel, const PageRun *runs, unsigned n,
			      const Message *message, const PageSink *sink, GError **error)
{
	g_autofree uint8_t *room = g_malloc(message->data_size + 1);
	struct iovec piece = {room, message->data_size};
	const uint8_t *at = room;

	if (message->data_size > 0 && !channel_receive_data(channel, &piece, 1, error))
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (!sink->place(sink->owner, runs[i].first, runs[i].n, runs[i].is_zero ? NULL : at,
				 error))
			return false;
		at += runs[i].is_zero ? 0 : (size_t)runs[i].n * PAGE_SIZE;
	}
	return true;
}

bool pages_receive(Channel *channel, const Message *message, const PageSink *sink, GError **error)
{
	const PageRun *runs;
	unsigned n;

	if (!page_runs_check(message, &sink->space, &runs, &n, error) ||
	    !check_runs(message, runs, n, sink, error))
		return false;
	return sink->place ? receive_and_place(channel, runs, n, message, sink, error)
			   : receive_in_place(channel, runs, n, sink, error);
}

uint64_t bitmap_next(const uint64_t *bitmap, uint64_t from, uint64_t bits)
{
	while (from < bits) {
		uint64_t word = bitmap[from / 64] >> from % 64;

		if (word)
			return MIN(from + (unsigned)__builtin_ctzll(word), bits);
		from = (from | 63) + 1;
	}
	return bits;
}

uint64_t bitmap_count(const uint64_t *bitmap, uint64_t bits)
{
	uint64_t count = 0;

	for (size_t i = 0; i < bitmap_words(bits); i++)
		count += (unsigned)__builtin_popcountll(bitmap[i]);
	return count;
}
