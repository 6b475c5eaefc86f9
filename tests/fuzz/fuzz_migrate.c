// SPDX-License-Identifier: MIT
/*
 * A migration's peer that says anything. The first byte's lowest bit: raw bytes, or
 * messages whose checksums are right: type, size of the payload (two bytes), pages
 * that follow (modulo 8), payload.
 */
#include "fuzz.h"
#include "migrate/hello.h"
#include "migrate/pages.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGES	 1024u
#define TOTAL	 (96u << 10) /* fits into a socket's buffer: sender and receiver are one thread */
#define PATIENCE 1000

static void send_raw(int fd, const uint8_t *data, size_t size)
{
	g_assert_cmpint(send(fd, data, MIN(size, TOTAL), MSG_NOSIGNAL | MSG_DONTWAIT), >=, 0);
	close(fd);
}

static void send_framed(int fd, const uint8_t *data, size_t size)
{
	static const uint8_t pages[8 * PAGE_SIZE];
	g_autoptr(Channel) channel = channel_create(fd, PATIENCE, NULL);
	size_t total = 0;

	while (size >= 4) {
		size_t length = MIN(data[1] | (size_t)data[2] << 8, size - 4);
		size_t n_pages = data[3] % 8;

		total += 1280 + length + n_pages * PAGE_SIZE; /* and what the kernel adds */
		if (total > TOTAL)
			return;
		g_assert_true(channel_send_data(channel, data[0], data + 4, length, pages,
						n_pages * PAGE_SIZE, NULL));
		data += 4 + length;
		size -= 4 + length;
	}
}

static bool take(Channel *channel, const Message *message, const PageSink *sink)
{
	g_autoptr(MachineState) state = NULL;
	const PageRun *runs;
	Hello hello;
	unsigned n;
	Join join;

	switch (message->type) {
	case MESSAGE_HELLO:
		return hello_parse(message, &hello, &state, NULL);
	case MESSAGE_JOIN:
		return message_copy(message, &join, sizeof(join), NULL);
	case MESSAGE_RAM:
		return pages_receive(channel, message, sink, NULL);
	default:
		return page_runs_check(message, &sink->space, &runs, &n, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];
	Message message;

	if (size < 2)
		return 0;
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	/* Exactly as large as it says, so that a byte beyond is noticed. */
	g_autofree uint8_t *bytes = g_malloc0((size_t)PAGES * PAGE_SIZE);
	g_autofree uint64_t *written = g_new0(uint64_t, PAGES / 64);
	g_autoptr(Channel) channel = channel_create(fds[0], PATIENCE, NULL);
	PageSink sink = {
		.space = {.bytes = bytes, .pages = PAGES},
		.written = written,
		.index = data[0] >> 1 & 1,
		.channels = 1 + (data[0] >> 2 & 3),
	};

	sink.index = MIN(sink.index, sink.channels - 1);
	if (data[0] & 1)
		send_raw(fds[1], data + 1, size - 1);
	else
		send_framed(fds[1], data + 1, size - 1);
	while (channel_receive(channel, &message, NULL) && take(channel, &message, &sink))
		;
	return 0;
}
