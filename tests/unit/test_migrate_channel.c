// SPDX-License-Identifier: MIT
#include "migrate/channel.h"

#include "base/error.h"
#include "migrate/rate_limit.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 5000
#define SHORT	 50

typedef struct Pair {
	Channel *a;
	int b; /* the raw other end */
} Pair;

static void pair_make(Pair *pair, unsigned patience)
{
	int fds[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	pair->a = channel_create(fds[0], patience, NULL);
	pair->b = fds[1];
}

static void pair_drop(Pair *pair)
{
	channel_destroy(pair->a);
	if (pair->b >= 0)
		close(pair->b);
}

/* The bytes of one message with `pages` pages. */
static GBytes *record(MessageType type, const void *payload, size_t size, const void *data,
		      size_t data_size)
{
	Pair pair;
	uint8_t room[65536];
	ssize_t n;

	pair_make(&pair, PATIENCE);
	g_assert_true(channel_send_data(pair.a, type, payload, size, data, data_size, NULL));
	n = read(pair.b, room, sizeof(room));
	g_assert_cmpint(n, >, 0);
	pair_drop(&pair);
	return g_bytes_new(room, (gsize)n);
}

static bool replay(const uint8_t *bytes, size_t size, Message *ret, uint8_t *data, GError **error)
{
	Pair pair;
	bool done;

	pair_make(&pair, SHORT);
	g_assert_cmpint(write(pair.b, bytes, size), ==, (ssize_t)size);
	shutdown(pair.b, SHUT_WR);
	done = channel_receive(pair.a, ret, error);
	if (done && ret->data_size > 0) {
		struct iovec piece = {data, ret->data_size};

		done = channel_receive_data(pair.a, &piece, 1, error);
	}
	pair_drop(&pair);
	return done;
}

static void test_messages_arrive(void)
{
	Pair pair;
	Channel *b;
	Message message;

	pair_make(&pair, PATIENCE);
	b = channel_create(pair.b, PATIENCE, NULL);
	pair.b = -1;
	g_assert_true(channel_send(pair.a, MESSAGE_HELLO, "abc", 3, NULL));
	g_assert_true(channel_send(pair.a, MESSAGE_ALIVE, NULL, 0, NULL));
	g_assert_true(channel_send(pair.a, MESSAGE_END, NULL, 0, NULL));
	g_assert_true(channel_receive(b, &message, NULL));
	g_assert_cmpint(message.type, ==, MESSAGE_HELLO);
	g_assert_cmpmem(message.payload, message.size, "abc", 3);
	g_assert_true(channel_expect(b, MESSAGE_END, &message, NULL));
	g_assert_cmpuint(message.size, ==, 0);
	channel_destroy(b);
	pair_drop(&pair);
}

/* Whichever bit is wrong, wherever it is: the message is not believed. */
static void test_each_flipped_bit_is_noticed(void)
{
	static uint8_t page[4096], data[4096];
	const uint64_t run[2] = {7, 1};

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 7);
	g_autoptr(GBytes) bytes = record(MESSAGE_RAM, run, sizeof(run), page, sizeof(page));
	gsize size;
	g_autofree uint8_t *copy =
		g_memdup2(g_bytes_get_data(bytes, &size), g_bytes_get_size(bytes));
	Message message;

	g_assert_true(replay(copy, size, &message, data, NULL));
	g_assert_cmpmem(data, sizeof(data), page, sizeof(page));
	for (size_t i = 0; i < size; i++) {
		g_autoptr(GError) error = NULL;

		copy[i] ^= (uint8_t)(1u << i % 8);
		g_assert_false(replay(copy, size, &message, data, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
		copy[i] ^= (uint8_t)(1u << i % 8);
	}
}

static void test_cut_anywhere(void)
{
	g_autoptr(GBytes) bytes = record(MESSAGE_STATE, "0123456789", 10, NULL, 0);
	gsize size;
	const uint8_t *data = g_bytes_get_data(bytes, &size);
	Message message;

	for (size_t cut = 0; cut < size; cut++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(replay(data, cut, &message, NULL, &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_FAILED);
		g_assert_nonnull(strstr(error->message, "closed the connection"));
	}
}

static void test_missing_and_repeated(void)
{
	g_autoptr(GBytes) bytes = record(MESSAGE_END, NULL, 0, NULL, 0);
	gsize size;
	const uint8_t *data = g_bytes_get_data(bytes, &size);
	g_autoptr(GError) error = NULL;
	Message message;
	Pair pair;

	pair_make(&pair, PATIENCE);
	for (unsigned i = 0; i < 2; i++)
		g_assert_cmpint(write(pair.b, data, size), ==, (ssize_t)size);
	g_assert_true(channel_receive(pair.a, &message, NULL));
	g_assert_false(channel_receive(pair.a, &message, &error));
	g_assert_nonnull(strstr(error->message, "something is missing"));
	pair_drop(&pair);
}

static void test_strangers(void)
{
	static const char *const texts[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n0123456789012345678901234567890123456789",
		"{\"execute\": \"qmp_capabilities\"}                                       ",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GError) error = NULL;
		Message message;

		g_assert_false(replay((const uint8_t *)texts[i], strlen(texts[i]), &message, NULL,
				      &error));
		g_assert_error(error, UMBRA_ERROR, UMBRA_ERROR_INPUT);
		g_assert_nonnull(strstr(error->message, "does not speak"));
	}
}

static void test_silence(void)
{
	g_autoptr(GError) error = NULL;
	Message message;
	Pair pair;

	pair_make(&pair, SHORT);
	g_assert_false(channel_receive(pair.a, &message, &error));
	g_assert_nonnull(strstr(error->message, "silent"));
	pair_drop(&pair);
}

/* Sends until the socket is full, which nobody reads; the number of bytes it took. */
static uint64_t fill(Pair *pair)
{
	g_autofree uint8_t *much = g_malloc0(MESSAGE_DATA_MAX);
	g_autoptr(GError) error = NULL;
	bool done = true;

	for (unsigned i = 0; done && i < 64; i++)
		done = channel_send_data(pair->a, MESSAGE_RAM, NULL, 0, much, MESSAGE_DATA_MAX,
					 &error);
	/* What does not fit must not wait for ever. */
	g_assert_false(done);
	g_assert_nonnull(strstr(error->message, "silent"));
	return channel_bytes_sent(pair->a);
}

static void test_peer_that_takes_nothing(void)
{
	Pair pair;

	pair_make(&pair, SHORT);
	fill(&pair);
	pair_drop(&pair);
}

/* A message of pages, with which the peer is busy while the next is made. */
static void test_room_for_a_message(void)
{
	Pair pair;
	int any = MESSAGE_PAGE;

	pair_make(&pair, SHORT);
	if (setsockopt(pair.b, SOL_SOCKET, SO_SNDBUFFORCE, &any, sizeof(any)) == 0)
		g_assert_cmpuint(fill(&pair), >=, MESSAGE_DATA_MAX);
	else
		g_test_skip("room beyond net.core.wmem_max takes CAP_NET_ADMIN");
	pair_drop(&pair);
}

static void test_little_room(void)
{
	Pair pair;

	pair_make(&pair, SHORT);
	channel_set_room(pair.a, 4 * MESSAGE_PAGE);
	/* The kernel doubles it for its own needs, and what is sent last may go beyond. */
	g_assert_cmpuint(fill(&pair), <=, 3 * 4 * MESSAGE_PAGE + 64 * 1024);
	pair_drop(&pair);
}

static void *cancel(void *argument)
{
	channel_cancel(argument);
	return NULL;
}

static void test_cancel_wakes_a_waiter(void)
{
	g_autoptr(GError) error = NULL;
	Message message;
	GThread *thread;
	Pair pair;

	pair_make(&pair, 60 * 1000);
	thread = g_thread_new("cancel", cancel, pair.a);
	g_assert_false(channel_receive(pair.a, &message, &error));
	g_assert_cmpstr(error->message, ==, "cancelled");
	g_thread_join(thread);
	pair_drop(&pair);
}

static void test_failure_carries_its_words(void)
{
	static const UmbraError codes[] = {UMBRA_ERROR_INCOMPATIBLE, UMBRA_ERROR_FAILED};

	for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
		g_autoptr(GError) why = g_error_new(UMBRA_ERROR, codes[i], "no room \x01 here");
		g_autoptr(GError) error = NULL;
		Message message;
		Pair pair;
		Channel *b;

		pair_make(&pair, PATIENCE);
		b = channel_create(pair.b, PATIENCE, NULL);
		pair.b = -1;
		channel_send_failure(b, why);
		g_assert_false(channel_receive(pair.a, &message, &error));
		g_assert_error(error, UMBRA_ERROR, (int)codes[i]);
		g_assert_cmpstr(error->message, ==, "the peer says: no room ? here");
		channel_destroy(b);
		pair_drop(&pair);
	}
}

/* While a sender waits for its turn, the peer is told that it lives. */
static void test_slow_is_not_silent(void)
{
	RateLimit *limit = rate_limit_create();
	static uint8_t page[MESSAGE_PAGE];
	Message message;
	Channel *a, *b;
	int fds[2];

	rate_limit_set(limit, 2048);
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	a = channel_create(fds[0], PATIENCE, limit);
	b = channel_create(fds[1], PATIENCE, NULL);
	int64_t began = g_get_monotonic_time();

	for (unsigned i = 0; i < 2; i++)
		g_assert_true(channel_send_data(a, MESSAGE_RAM, NULL, 0, page, sizeof(page), NULL));
	/* The second had to wait until the first was paid for: 4144 bytes at 2048 per second. */
	g_assert_cmpint(g_get_monotonic_time() - began, >=, 1900 * 1000);
	/* Headers have 48 bytes, and a word that it lives is one. */
	g_assert_cmpuint(channel_bytes_sent(a), >=, 3 * 48 + 2 * sizeof(page));
	for (unsigned i = 0; i < 2; i++) {
		struct iovec piece = {page, sizeof(page)};

		g_assert_true(channel_expect(b, MESSAGE_RAM, &message, NULL));
		g_assert_true(channel_receive_data(b, &piece, 1, NULL));
	}
	channel_destroy(a);
	channel_destroy(b);
	rate_limit_destroy(limit);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/migrate/channel/arrive", test_messages_arrive);
	g_test_add_func("/migrate/channel/flip", test_each_flipped_bit_is_noticed);
	g_test_add_func("/migrate/channel/cut", test_cut_anywhere);
	g_test_add_func("/migrate/channel/missing", test_missing_and_repeated);
	g_test_add_func("/migrate/channel/strangers", test_strangers);
	g_test_add_func("/migrate/channel/silence", test_silence);
	g_test_add_func("/migrate/channel/takes-nothing", test_peer_that_takes_nothing);
	g_test_add_func("/migrate/channel/room", test_room_for_a_message);
	g_test_add_func("/migrate/channel/little-room", test_little_room);
	g_test_add_func("/migrate/channel/cancel", test_cancel_wakes_a_waiter);
	g_test_add_func("/migrate/channel/failure", test_failure_carries_its_words);
	g_test_add_func("/migrate/channel/slow", test_slow_is_not_silent);
	return g_test_run();
}
