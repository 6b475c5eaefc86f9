// SPDX-License-Identifier: MIT
/*
 * A migration on tape, so that it can take place between machines that do not know each
 * other, at different times:
 *
 *	tape record FILE LISTEN CONNECT   stands between source and target, Unix sockets both,
 *					  and keeps what the source says
 *	tape play FILE CONNECT		  is the source: says the same to another target
 *
 * The player waits for the target's answers where a source would (docs/migration.md). One
 * connection only. Exit status: 0 the target started the guest; 1 it, or one of the two
 * sides, gave up; 2 trouble.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ROOM (1u << 20)

enum {
	HELLO = 1,
	VERDICT = 2,
	JOINED = 4,
	STATE = 7,
	READY = 8,
	GO = 9,
	STARTED = 10,
	FAILED = 11,
	ALIVE = 12,
};

/* The head of a message, as docs/migration.md has it. */
typedef struct Head {
	uint32_t magic;
	uint16_t type, zero;
	uint32_t payload, pages;
	uint64_t rest[4];
} Head;

/* What the target has to say after the source's message of this type, and before its next. */
static const uint16_t answers[][3] = {
	{HELLO, VERDICT, JOINED},
	{STATE, READY},
	{GO, STARTED},
};

static char room[ROOM];

static void __attribute__((noreturn, format(printf, 2, 3))) die(int status, const char *format, ...)
{
	va_list values;

	fputs("tape: ", stderr);
	va_start(values, format);
	vfprintf(stderr, format, values);
	va_end(values);
	fputc('\n', stderr);
	exit(status);
}

static int unix_socket(const char *path, struct sockaddr_un *ret_address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (fd < 0 || strlen(path) >= sizeof(ret_address->sun_path))
		die(2, "%s: no socket", path);
	strcpy(ret_address->sun_path, path);
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_socket(path, &address);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(2, "%s: %s", path, strerror(errno));
	return fd;
}

/* The name is there only when somebody listens. */
static int accept_at(const char *path)
{
	struct sockaddr_un address;
	int listener = unix_socket(path, &address), fd;

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0)
		die(2, "%s: %s", path, strerror(errno));
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die(2, "%s: %s", path, strerror(errno));
	close(listener);
	return fd;
}

static void write_all(int fd, const char *from, size_t n, const char *what)
{
	while (n > 0) {
		ssize_t done = write(fd, from, n);

		if (done <= 0)
			die(1, "%s: %s", what, strerror(errno));
		from += done;
		n -= (size_t)done;
	}
}

/* False: it ended before its first byte. */
static bool read_all(int fd, void *to, size_t n, const char *what)
{
	for (size_t had = 0; had < n;) {
		ssize_t got = read(fd, (char *)to + had, n - had);

		if (got == 0 && had == 0)
			return false;
		if (got <= 0)
			die(1, "%s: ends within a message", what);
		had += (size_t)got;
	}
	return true;
}

/* What is there goes over; false when there will be no more. */
static bool pass_on(int from, int to, int tape)
{
	ssize_t got = read(from, room, sizeof(room));

	if (got <= 0) {
		shutdown(to, SHUT_WR);
		return false;
	}
	if (tape >= 0)
		write_all(tape, room, (size_t)got, "the tape");
	write_all(to, room, (size_t)got, "the other side");
	return true;
}

static int record(const char *file, const char *listen_at, const char *target_at)
{
	int tape = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int source, target;
	struct pollfd ends[2];

	if (tape < 0)
		die(2, "%s: %s", file, strerror(errno));
	source = accept_at(listen_at);
	target = connect_to(target_at);
	ends[0] = (struct pollfd){.fd = source, .events = POLLIN};
	ends[1] = (struct pollfd){.fd = target, .events = POLLIN};
	while (ends[0].fd >= 0 || ends[1].fd >= 0) {
		if (poll(ends, 2, -1) < 0)
			die(2, "poll: %s", strerror(errno));
		if (ends[0].revents && !pass_on(source, target, tape))
			ends[0].fd = -1;
		if (ends[1].revents && !pass_on(target, source, -1))
			ends[1].fd = -1;
	}
	return 0;
}

static void expect(int target, unsigned type)
{
	Head head;

	do {
		if (!read_all(target, &head, sizeof(head), "the target"))
			die(1, "the target hung up instead of saying %u", type);
		if (head.payload >= ROOM || head.pages)
			die(2, "the target said what no target says");
		memset(room, 0, head.payload + 1);
		if (head.payload)
			read_all(target, room, head.payload, "the target");
	} while (head.type == ALIVE);
	if (head.type == FAILED) /* one byte says of what kind */
		die(1, "the target gave up: %s", room + 1);
	if (head.type != type)
		die(2, "the target said %u instead of %u", head.type, type);
}

static void expect_answers(int target, unsigned type)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (answers[i][0] == type)
			for (unsigned n = 1; n < 3 && answers[i][n]; n++)
				expect(target, answers[i][n]);
}

static int play(const char *file, const char *target_at)
{
	int tape = open(file, O_RDONLY | O_CLOEXEC), target;
	unsigned messages = 0, last = 0;
	bool gone = false;
	Head head;

	if (tape < 0)
		die(2, "%s: %s", file, strerror(errno));
	target = connect_to(target_at);
	for (; read_all(tape, &head, sizeof(head), file); messages++) {
		size_t left = (size_t)head.payload + head.pages;

		write_all(target, (char *)&head, sizeof(head), "the target");
		while (left > 0) {
			size_t n = left < sizeof(room) ? left : sizeof(room);

			if (!read_all(tape, room, n, file))
				die(1, "%s: ends within a message", file);
			write_all(target, room, n, "the target");
			left -= n;
		}
		expect_answers(target, head.type);
		gone |= head.type == GO;
		last = head.type;
	}
	printf("tape: %u messages, the last one %u\n", messages, last);
	return gone ? 0 : 1;
}

int main(int argc, char **argv)
{
	/* Whoever hangs up is told of by what the other side says. */
	signal(SIGPIPE, SIG_IGN);
	if (argc == 5 && strcmp(argv[1], "record") == 0)
		return record(argv[2], argv[3], argv[4]);
	if (argc == 4 && strcmp(argv[1], "play") == 0)
		return play(argv[2], argv[3]);
	fputs("usage: tape record FILE LISTEN CONNECT | tape play FILE CONNECT\n", stderr);
	return 2;
}
