// SPDX-License-Identifier: MIT
#include "migrate/pages.h"

#include "base/error.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PAGES 4096u

typedef struct Ends {
	Channel *from, *to;
	PageSpace source, target;
	uint64_t *bitmap;
	uint64_t written[PAGES / 64];
} Ends;

static PageSpace space_make(void)
{
	void *bytes = mmap(NULL, (size_t)PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	g_assert_true(bytes != MAP_FAILED);
	return (PageSpace){.bytes = bytes, .pages = PAGES};
}

static void ends_make(Ends *ends)
{
	int fds[2], size = 64 << 20;

	*ends = (Ends){.source = space_make(), .target = space_make()};
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	ends->from = channel_create(fds[0], 5000, NULL);
	ends->to = channel_create(fds[1], 5000, NULL);
	ends->bitmap = g_new0(uint64_t, bitmap_words(PAGES));
}

static void ends_drop(Ends *ends)
{
	channel_destroy(ends->from);
	channel_destroy(ends->to);
	munmap(ends->source.bytes, (size_t)PAGES * PAGE_SIZE);
	munmap(ends->target.bytes, (size_t)PAGES * PAGE_SIZE);
	g_free(ends->bitmap);
}

static void fill(PageSpace *space, uint64_t page, uint8_t value)
{
	memset(space->bytes + page * PAGE_SIZE, value, PAGE_SIZE);
}

static void mark(uint64_t *bitmap, uint64_t page)
{
	bitmap[page / 64] |= 1UL << page % 64;
}

typedef struct Sending {
	Ends *ends;
	unsigned index, channels;
	bool still;
	PageCounts counts;
} Sending;

static void *send_thread(void *argument)
{
	Sending *sending = argument;
	Ends *ends = sending->ends;

	PageSender sender = {
		.channel = ends->from,
		.space = ends->source,
		.bitmap = ends->bitmap,
		.index = sending->index,
		.channels = sending->channels,
		.still = sending->still,
		.counts = &sending->counts,
	};

	g_assert_true(pages_send(&sender, NULL));
	g_assert_true(channel_send(ends->from, MESSAGE_END, NULL, 0, NULL));
	return NULL;
}

static void transfer(Ends *ends, Sending *sending)
{
	GThread *thread = g_thread_new("send", send_thread, sending);
	PageSink sink = {.space = ends->target,
			 .written = ends->written,
			 .index = sending->index,
			 .channels = sending->channels};
	Message message;

	for (;;) {
		g_assert_true(channel_receive(ends->to, &message, NULL));
		if (message.type == MESSAGE_END)
			break;
		g_assert_true(pages_receive(ends->to, &message, &sink, NULL));
	}
	g_thread_join(thread);
}

static void check_random_pages(bool still)
{
	Ends ends;
	Sending sending = {.ends = &ends, .index = 0, .channels = 1, .still = still};
	unsigned normal = 0, zero = 0;

	ends_make(&ends);
	for (uint64_t page = 0; page < PAGES; page++) {
		unsigned what = (unsigned)g_test_rand_int_range(0, 4);

		if (what == 0)
			continue; /* not asked for */
		mark(ends.bitmap, page);
		if (what == 1) {
			zero++;
		} else {
			fill(&ends.source, page, (uint8_t)(1 + page % 255));
			normal++;
		}
	}
	transfer(&ends, &sending);
	g_assert_cmpuint(sending.counts.normal, ==, normal);
	g_assert_cmpuint(sending.counts.zero, ==, zero);
	g_assert_cmpint(memcmp(ends.source.bytes, ends.target.bytes, (size_t)PAGES * PAGE_SIZE), ==,
			0);
	ends_drop(&ends);
}

static void test_random_pages_arrive(void)
{
	check_random_pages(false);
}

static void test_random_pages_arrive_uncopied(void)
{
	check_random_pages(true);
}

/* A page that had data and became zero must not keep the data. */
static void test_page_becomes_zero(void)
{
	Ends ends;
	Sending sending = {.ends = &ends, .index = 0, .channels = 1};

	ends_make(&ends);
	fill(&ends.source, 77, 9);
	mark(ends.bitmap, 77);
	transfer(&ends, &sending);
	g_assert_cmpuint(ends.target.bytes[77 * PAGE_SIZE], ==, 9);
	fill(&ends.source, 77, 0);
	mark(ends.bitmap, 77);
	transfer(&ends, &sending);
	g_assert_cmpuint(ends.target.bytes[77 * PAGE_SIZE], ==, 0);
	ends_drop(&ends);
}

/* Zero pages cost a few bytes, however many. */
static void test_zero_pages_are_cheap(void)
{
	Ends ends;
	Sending sending = {.ends = &ends, .index = 0, .channels = 1};

	ends_make(&ends);
	memset(ends.bitmap, 0xff, PAGES / 8);
	transfer(&ends, &sending);
	g_assert_cmpuint(sending.counts.zero, ==, PAGES);
	g_assert_cmpuint(channel_bytes_sent(ends.from), <, 256);
	ends_drop(&ends);
}

/* Every page goes by exactly one of the channels. */
static void test_channels_share(void)
{
	PageCounts sum = {0};

	for (unsigned index = 0; index < 3; index++) {
		Ends ends;
		Sending sending = {.ends = &ends, .index = index, .channels = 3};

		ends_make(&ends);
		memset(ends.bitmap, 0xff, PAGES / 8);
		for (uint64_t page = 0; page < PAGES; page++)
			fill(&ends.source, page, 5);
		transfer(&ends, &sending);
		for (uint64_t page = 0; page < PAGES; page++)
			g_assert_cmpuint(ends.target.bytes[page * PAGE_SIZE], ==,
					 page_channel(page, 3) == index ? 5 : 0);
		sum.normal += sending.counts.normal;
		ends_drop(&ends);
	}
	g_assert_cmpuint(sum.normal, ==, PAGES);
}

typedef struct Bad {
	const char *about;
	PageRun runs[2];
	unsigned n;
	uint32_t odd;	   /* bytes more in the payload */
	uint32_t data;	   /* pages that follow */
	unsigned channels; /* 0: one */
} Bad;

static void test_bad_runs_are_refused(void)
{
	static const Bad bad[] = {
		{"beyond the end", {{PAGES, 1, 1}}, 1, 0, 0, 0},
		{"across the end", {{PAGES - 1, 2, 1}}, 1, 0, 0, 0},
		{"overflow", {{UINT64_MAX, 2, 1}}, 1, 0, 0, 0},
		{"nothing", {{0, 0, 1}}, 1, 0, 0, 0},
		{"neither zero nor data", {{0, 1, 2}}, 1, 0, 1, 0},
		{"half a run", {{0, 1, 1}}, 1, 3, 0, 0},
		{"data missing", {{0, 2, 0}}, 1, 0, 1, 0},
		{"data too much", {{0, 1, 0}}, 1, 0, 2, 0},
		{"another channel's", {{512, 1, 0}}, 1, 0, 1, 2},
		{"into another channel's", {{511, 2, 0}}, 1, 0, 2, 2},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		static const uint8_t data[2 * PAGE_SIZE];
		uint8_t payload[sizeof(bad[i].runs) + 8] = {0};
		Message message;
		Ends ends;

		g_test_message("%s", bad[i].about);
		ends_make(&ends);
		memcpy(payload, bad[i].runs, sizeof(bad[i].runs));
		g_assert_true(channel_send_data(ends.from, MESSAGE_RAM, payload,
						bad[i].n * sizeof(PageRun) + bad[i].odd, data,
						(size_t)bad[i].data * PAGE_SIZE, NULL));
		PageSink sink = {.space = ends.target,
				 .written = ends.written,
				 .channels = bad[i].channels ? bad[i].channels : 1};

		g_assert_true(channel_receive(ends.to, &message, NULL));
		g_assert_false(pages_receive(ends.to, &message, &sink, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
		ends_drop(&ends);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/migrate/pages/random", test_random_pages_arrive);
	g_test_add_func("/migrate/pages/random-still", test_random_pages_arrive_uncopied);
	g_test_add_func("/migrate/pages/becomes-zero", test_page_becomes_zero);
	g_test_add_func("/migrate/pages/zero-is-cheap", test_zero_pages_are_cheap);
	g_test_add_func("/migrate/pages/channels", test_channels_share);
	g_test_add_func("/migrate/pages/bad", test_bad_runs_are_refused);
	return g_test_run();
}
